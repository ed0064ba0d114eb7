"""The list of blocks: what is on it, what a match is with, adding an entry and switching one off."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from wildgate_console.desk import back_to, caller_of, desk_of, page
from wildgate_enforcement.errors import InvalidRequest
from wildgate_proto.v1 import blocks_pb2 as pb
from wildgate_server.errors import BlockNotFound

__all__ = ["add", "block_list", "switch"]

_PAGE = 50
_BATCH = 1000
_MOST_LOOKED_AT = 20_000
_SEARCHED = ("id", "label", "reason", "source", "added_by")


async def block_list(request: Request) -> Response:
    """A page of the list, in its own order, or what a word is found in; an entry's whole id finds it at once."""
    desk, caller = desk_of(request), caller_of(request)
    word, after = request.query_params.get("word", "").strip()[:128], request.query_params.get("after", "")
    wanted = pb.ListBlocksRequest(page_size=_BATCH if word else _PAGE, page_token=after)
    answer = await desk.blocks.call(caller, "List", wanted)
    rows, looked_at = _with(answer.blocks, word), len(answer.blocks)
    while word and answer.next_page_token and len(rows) < _PAGE and looked_at < _MOST_LOOKED_AT:
        wanted.page_token = answer.next_page_token
        answer = await desk.blocks.call(caller, "List", wanted)
        rows, looked_at = [*rows, *_with(answer.blocks, word)], looked_at + len(answer.blocks)
    if word and not after and all(row.id != word for row in rows):
        with suppress(BlockNotFound):
            rows.insert(0, await desk.blocks.call(caller, "Get", pb.GetBlockRequest(id=word)))
    return await page(
        request,
        "blocks.html",
        rows=rows,
        word=word,
        total=answer.total,
        after=answer.next_page_token,
        labels=sorted(desk.labels),
    )


async def add(request: Request) -> Response:
    """Blocks a file by its digest."""
    desk, caller, form = desk_of(request), caller_of(request), request.state.form
    digest, reason, label = (form.get(name, "").strip() for name in ("digest", "reason", "label"))
    if not (digest and reason):
        raise InvalidRequest("a block takes a digest and a reason", field="digest")
    block = pb.Block(digests=[digest], reason=reason, label=label, source="console", added_by=caller.subject)
    answer = await desk.blocks.call(caller, "Add", pb.AddBlocksRequest(blocks=[block]))
    return _back_to_entry(answer.ids[0])


async def switch(request: Request) -> Response:
    """Disables an entry, which then stays on the list and blocks nothing, or enables it again."""
    form = request.state.form
    wanted = pb.UpdateBlockRequest(id=form.get("id", ""), enabled=form.get("enabled") == "1")
    await desk_of(request).blocks.call(caller_of(request), "Update", wanted)
    return _back_to_entry(wanted.id)


def _back_to_entry(block_id: str) -> Response:
    return back_to(f"/blocks?{urlencode({'word': block_id})}")


def _with(blocks: Sequence[pb.Block], word: str) -> list[pb.Block]:
    low = word.lower()
    return [block for block in blocks if any(low in getattr(block, name).lower() for name in _SEARCHED)]
