"""Outcomes of cases in the XML that continuous integration reads (the JUnit form, which has no standard)."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from ..policy.cases import Outcome
from .output import shown


def xml(outcomes: Sequence[Outcome]) -> bytes:
    failed = sum(bool(each.differences) for each in outcomes)
    suite = Xml.Element("testsuite", name="hubgate rules", tests=str(len(outcomes)), failures=str(failed), errors="0")
    for each in outcomes:
        file, _, line = each.place.rpartition(":")
        case = Xml.SubElement(suite, "testcase", classname=file, name=shown(each.name), file=file, line=line)
        if each.differences:
            text = "\n".join(map(shown, each.differences))
            Xml.SubElement(case, "failure", message=shown(each.differences[0])).text = text
    made: bytes = Xml.tostring(suite, encoding="utf-8", xml_declaration=True)
    return made
