"""A gate as JUnit XML: one test case per limit and attack, which every CI system shows."""

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from holdfast.evaluation.limits import State
from holdfast.report.release.words import check_text, settled_by
from holdfast.results.gating.records import Check, Gate

__all__ = ["junit"]

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What a name may hold and no XML document."""


def junit(gate: Gate) -> str:
    """Return the document; what is undecided is a failure of that type, whatever is allowed."""
    wrong = sum(check.state != State.PASS for check in gate.checks)
    counts = {"tests": str(len(gate.checks)), "failures": str(wrong), "errors": "0"}
    root = Element("testsuites", counts)
    suite = SubElement(root, "testsuite", {"name": f"holdfast gate {gate.subject.model}", **counts})
    several = len(gate.subject.seeds) > 1
    for check in gate.checks:
        _case(suite, check, several=several)
    indent(root)
    text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", tostring(root, encoding="unicode"))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _case(suite: Element, check: Check, *, several: bool) -> None:
    seed = f", seed {check.seed}" if several else ""
    names = {"classname": f"holdfast.gate.{check.metric}", "name": f"{check.limit}, {check.attack}"}
    case = SubElement(suite, "testcase", {**names, "name": names["name"] + seed})
    if check.state == State.PASS:
        return
    why = " ".join(text for text in (check_text(check), settled_by(check)) if text)
    failure = SubElement(case, "failure", {"type": str(check.state), "message": check_text(check)})
    failure.text = why
