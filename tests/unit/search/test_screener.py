"""The shipped lexicon, and the reading of queries that does not depend on what it holds."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest

from wildgate_search import Action, Screener, load_lexicon
from wildgate_search.folding import ALL_STEPS, Step

DISGUISED = {
    Step.WIDTH: "ｂｕｙ ｒｈｉｎｏ ｈｏｒｎ",
    Step.CASE: "BUY Rhino hORN",
    Step.SPACING: "b u y r h i n o h o r n",
    Step.PUNCTUATION: "buy rh.in-o h*o*r*n",
    Step.EMOJI: "buy rhi🔥no ho✨rn",
    Step.CONFUSABLES: "buy rhіnо hоrn",
    Step.LEET: "buy rh1n0 h0rn",
    Step.SCRIPT: "購買 穿山甲 鱗片",
    Step.PINYIN: "购买 相亚 手串",
    Step.DOUBLED: "buy rhhinno hoooorn",
    Step.SPLIT: "购买 穴牙山甲 鱼粦片",
}


@pytest.fixture(scope="module")
def screener() -> Screener:
    return Screener(load_lexicon())


@pytest.mark.parametrize("step", Step)
def test_each_disguise_is_undone_by_its_step_alone(screener: Screener, step: Step) -> None:
    assert screener.screen(DISGUISED[step]).action is Action.RESTRICT
    wanted = [each for each in screener.lexicon.entries if each.group in ("", "rhino", "pangolin", "elephant")]
    without = Screener(screener.lexicon.model_copy(update={"entries": wanted}), ALL_STEPS - {step})
    assert without.screen(DISGUISED[step]).action is not Action.RESTRICT


def test_a_code_alone_never_restricts(screener: Screener) -> None:
    codes = [
        term for entry in screener.lexicon.entries if entry.class_name in ("code", "hint") for _, term in entry.terms()
    ]
    assert len(codes) > 20
    assert [code for code in codes if screener.screen(code).action is Action.RESTRICT] == []
    assert screener.screen("yellow materials").action is Action.INFORM
    assert screener.screen("yellow materials wholesale").action is Action.RESTRICT


def test_an_expired_code_no_longer_counts(screener: Screener) -> None:
    later = Screener(screener.lexicon, ALL_STEPS - {Step.WIDTH}, day=dt.date(2100, 1, 1))
    assert later.screen("yellow materials wholesale").action is Action.NONE


def test_what_only_sounds_like_a_term_is_no_evidence_by_itself(screener: Screener) -> None:
    assert screener.screen("湘雅医院 价格").action is Action.NONE
    assert screener.screen("相亚 在哪里").action is Action.NONE


@pytest.mark.parametrize(
    ("query", "action"),
    [
        ("carpet for sale", Action.NONE),
        ("elephantivoryforsale", Action.RESTRICT),
        ("elephant in the room for sale", Action.NONE),
        ("ivory ban", Action.NONE),
        ("nga voi gia bao nhieu", Action.RESTRICT),
        ("ivory soap and real elephant tusk for sale", Action.RESTRICT),
        ("🐅 skin for sale", Action.RESTRICT),
        ("大象牙科 价格", Action.NONE),
        ("象牙 新闻 加微信 包邮", Action.RESTRICT),
        ("rhino\u3164horn for sale", Action.RESTRICT),
        ("r\u20d7h\u20d7i\u20d7no 象\U000e0100牙 出售", Action.RESTRICT),
        ("ʀʜɪɴᴏ 🇭🇴🇷🇳 🅵🅾🆁 🅢🅐🅛🅔", Action.RESTRICT),
        ("why do people buy tiger bone", Action.INFORM),
        ("whatsapp groups selling rhino horn, investigation", Action.NONE),
        ("", Action.NONE),
        ("\ud83d buy rhino horn", Action.RESTRICT),
    ],
)
def test_words_accents_phrases_and_context(screener: Screener, query: str, action: Action) -> None:
    assert screener.screen(query).action is action


def test_places_are_those_of_the_query_as_it_was_sent(screener: Screener) -> None:
    query = "  ＢＵＹ　r-h-i-n-o   hoorn!"
    places = {match.term: query[match.start : match.end] for match in screener.screen(query).matches}
    assert places["rhino horn"] == "r-h-i-n-o   hoorn"
    assert places["buy"] == "ＢＵＹ"


def test_messages_and_labels_are_for_the_reader_and_the_platform(screener: Screener) -> None:
    answer = screener.screen("mua sừng tê giác", "vi-VN")
    assert answer.message == screener.lexicon.messages[answer.message_id]["vi"]
    assert "rhino_horn" in answer.demote
    assert screener.screen("mua sừng tê giác", "xx").message == screener.lexicon.messages[answer.message_id]["en"]


def test_an_explanation_names_what_excuses_and_what_is_missing(screener: Screener) -> None:
    notes = "\n".join(screener.screen("tiger beer tooth", explain=True).notes)
    assert "excused by 'tiger beer'" in notes
    assert "no trade" in "\n".join(screener.screen("tiger tooth", explain=True).notes)


def test_the_quick_look_never_misses_what_the_close_one_sees(screener: Screener) -> None:
    """What is done after one search must be what reading closely would have said."""
    terms = [term for entry in screener.lexicon.entries[::9] for _, term in itertools.islice(entry.terms(), 2)]
    for term in terms:
        for query in (f"{term} buy", f"wechat {term} bracelet", f"买{term}手串"):
            assert screener.screen(query).action is screener.screen(query, explain=True).action, query
