"""SearchService: queries in, answers out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import grpc

from wildgate_proto.v1 import search_pb2 as pb
from wildgate_proto.v1.search_pb2_grpc import SearchServiceServicer
from wildgate_search.answer import Action, Answer, Match
from wildgate_search.counts import PrivateCounts
from wildgate_search.errors import InvalidRequest
from wildgate_search.live import LiveScreener
from wildgate_search.settings import ScreeningSettings
from wildgate_server.wire import status_of

__all__ = ["SEARCH_SERVICE", "SearchService"]

SEARCH_SERVICE = pb.DESCRIPTOR.services_by_name["SearchService"].full_name
_ACTIONS = {action: f"SEARCH_ACTION_{action.name}" for action in Action}
_COUNTED: dict[Action, tuple[str, ...]] = {action: (action.name.lower(),) for action in Action}
_TOO_LONG = ("too_long",)
_AT_ONCE_S = 0.002  # after which other calls are answered before a batch goes on


class SearchService(SearchServiceServicer):
    """Answers by the lexicon in use. `counts` is told of every answer; `answered` is how many there were, by action."""

    def __init__(self, live: LiveScreener, settings: ScreeningSettings, counts: PrivateCounts | None = None) -> None:
        self._live = live
        self._longest = settings.max_query_chars
        self._largest = settings.max_batch
        self._counts = counts
        self.answered: dict[tuple[str, ...], float] = dict.fromkeys((*_COUNTED.values(), _TOO_LONG), 0)

    async def Screen(self, request: pb.ScreenRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.ScreenResponse:
        """Screens one query. Raises InvalidRequest."""
        if len(request.query) > self._longest:
            raise self._too_long(request.query, "query")
        answer = self._live.screener.screen(request.query, request.locale, explain=request.explain)
        self._count(answer)
        return _message(answer)

    async def ScreenBatch(
        self, request: pb.ScreenBatchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ScreenBatchResponse:
        """Screens many; one that is too long is an item of the answer. Raises InvalidRequest."""
        queries = list(request.queries)
        if len(queries) > self._largest:
            raise InvalidRequest(f"queries are at most {self._largest}, not {len(queries)}", field="queries")
        screener = self._live.screener
        screen, locale = screener.screen, request.locale
        response = pb.ScreenBatchResponse(lexicon_version=screener.version)
        until = time.monotonic() + _AT_ONCE_S
        for index, query in enumerate(queries):
            if time.monotonic() > until:
                await asyncio.sleep(0)
                until = time.monotonic() + _AT_ONCE_S
            if len(query) > self._longest:
                error = status_of(self._too_long(query, f"queries[{index}]"))
                response.results.add(index=index, error=error)
                self.answered[_TOO_LONG] += 1
                continue
            answer = screen(query, locale)
            self._count(answer)
            if answer.action is not Action.NONE:
                response.results.add(index=index, answer=_message(answer))
        return response

    def _count(self, answer: Answer) -> None:
        self.answered[_COUNTED[answer.action]] += 1
        if self._counts and answer.action is not Action.NONE:
            self._counts.add(answer)

    def _too_long(self, query: str, field: str) -> InvalidRequest:
        return InvalidRequest(f"{field} has {len(query)} characters, more than {self._longest}", field=field)


def _message(answer: Answer) -> pb.ScreenResponse:
    if not answer.matches:
        return pb.ScreenResponse(
            action=_ACTIONS[answer.action], lexicon_version=answer.lexicon_version, notes=answer.notes
        )
    return pb.ScreenResponse(
        action=_ACTIONS[answer.action],
        lexicon_version=answer.lexicon_version,
        rule=answer.rule,
        reason=answer.reason,
        message_id=answer.message_id,
        message=answer.message,
        matches=[_term(match) for match in _once(answer.matches)],
        demote=answer.demote,
        notes=answer.notes,
    )


def _once(matches: Iterable[Match]) -> Iterable[Match]:
    """Each term where it first stands: a query that repeats one is no reason for an answer of any length."""
    found: dict[tuple[str, str, str, bool], Match] = {}
    for each in matches:
        found.setdefault((each.term, each.class_name, each.excused_by, each.sounds), each)
    return found.values()


def _term(match: Match) -> pb.TermMatch:
    message = pb.TermMatch(
        term=match.term,
        language=match.language,
        source=match.source,
        start=match.start,
        end=match.end,
        sounds=match.sounds,
        excused_by=match.excused_by,
    )
    setattr(message, "class", match.class_name)
    return message
