"""A judgement as one self-contained HTML page, in Chinese or in English: works offline, and in print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import templates
from ferry import __version__
from ferry.artefacts import Compliance

Language = Literal["zh", "en"]

WORDS: Mapping[Language, Mapping[str, Any]] = {
    "en": {
        "title": "MLPS 2.0 level 3: what is proven",
        "judged": {
            "plan": "Judged on what the program asks for. Nothing of it exists yet.",
            "rehearsal": "Judged on a rehearsal in an embedded account, which is not AWS.",
            "account": "Judged on a live account, by read-only calls.",
        },
        "status": {
            "met": "met",
            "met in part": "met in part",
            "not met": "not met",
            "not proven": "not proven",
            "organisation": "organisation's duty",
            "not applicable": "not applicable",
        },
        "state": {
            "holds": "holds",
            "broken": "broken",
            "nothing to look at": "nothing to look at",
            "not run": "not run here",
        },
        "caveat": "This page says what was looked at and found. It is no evaluation (等级测评), which only a licensed "
        "body makes, and no clause is claimed that nothing proves. Requirements are summaries; "
        "the standard's text decides.",
        "clauses": "Clauses",
        "requirement": "Requirement, in short",
        "assumed": "summary from general knowledge of the standard",
        "part": "Proven in part: what is listed below. The rest is the organisation's duty",
        "open": "Proven in part: some of what it rests on did not run here, or had nothing to look at",
        "rest": "To be shown by the organisation",
        "unproven": "No check proves this clause",
        "unrun": "A check that this clause rests on did not run",
        "more": "{} more in the JSON file",
        "all": "all resources together",
        "seen": "seen: {}",
        "wrong": ", of these not as they have to be: {}",
        "from": "Environment",
        "region": "Region",
        "at": "Looked at",
        "made": "Made from",
        "colon": ": ",
    },
    "zh": {
        "title": "等级保护 2.0 第三级：条款证据报告",
        "judged": {
            "plan": "依据程序将要创建的资源判定，资源尚未创建。",
            "rehearsal": "依据在内嵌账户（非真实 AWS）中的演练判定。",
            "account": "依据对真实账户的只读查询判定。",
        },
        "status": {
            "met": "符合",
            "met in part": "部分符合",
            "not met": "不符合",
            "not proven": "未证明",
            "organisation": "运营使用单位职责",
            "not applicable": "不适用",
        },
        "state": {
            "holds": "成立",
            "broken": "不成立",
            "nothing to look at": "无检查对象",
            "not run": "本次未运行",
        },
        "caveat": "本报告只说明检查了什么、发现了什么，不能替代由具备资质的测评机构开展的等级测评；"
        "凡无检查项证明的条款，一律不主张符合。"
        "“要求”一栏为摘要，以标准原文为准。",
        "clauses": "逐条结果",
        "requirement": "要求（摘要）",
        "assumed": "摘要依据对标准的一般了解，使用前请核对原文",
        "part": "部分证明：以下所列已证明；其余属运营使用单位职责",
        "open": "部分证明：部分检查项本次未运行或无检查对象",
        "rest": "由运营使用单位证明",
        "unproven": "没有检查项证明本条款",
        "unrun": "本条款所依据的检查项未运行",
        "more": "其余 {} 条见 JSON 文件",
        "all": "全部资源",
        "seen": "共 {} 项",
        "wrong": "，其中 {} 项不成立",
        "from": "环境",
        "region": "区域",
        "at": "检查时间",
        "made": "依据文件",
        "colon": "：",
    },
}

SHOWN_EVIDENCE = 3
"""Statements of one proof that the page shows; what is broken comes first, and the JSON file has all."""


def page(judgement: Compliance, language: Language) -> str:
    """The page as HTML."""
    return templates.render(
        "report/compliance.html.j2",
        judgement=judgement,
        language=language,
        words=WORDS[language],
        counts={status: len(judgement.of_status(status)) for status in WORDS[language]["status"]},
        shown=SHOWN_EVIDENCE,
        version=__version__,
    )
