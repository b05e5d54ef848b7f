"""The table, first half: licences for software, texts and data that hubs list. Facts and their source, nothing else.

`rights` is commercial use, modifying, redistributing. None of these licences has a threshold, a territory or a limit on
outputs, and none forbids a use unless its line says so. Whether one has an express patent grant is commonly known
rather than read, unless its line says otherwise. A fact that changes here changes what rules decide.
"""

from __future__ import annotations

from .terms import Licence, ShareAlike, Source, row

C, S, D, K = Source.CHOOSEALICENSE, Source.SCANCODE, Source.DEFINITION, Source.KNOWN
NONE, FILE, LIBRARY, WORK = ShareAlike.NONE, ShareAlike.FILE, ShareAlike.LIBRARY, ShareAlike.WORK
NETWORK, USE_TERMS = ShareAlike.NETWORK, ShareAlike.USE_TERMS


def _open(
    id: str,
    spdx: str | None,
    source: Source,
    notes: str = "",
    *,
    rights: str = "yyy",
    share: ShareAlike = NONE,
    patent: str = "?",
    patent_source: Source = K,
    notice: str = "y",
    restricted: str = "n",
) -> Licence:
    return row(
        id,
        spdx,
        rights,
        share,
        source,
        notes,
        patent=patent,
        restricted=restricted,
        notice=notice,
        research="n",
        thresholds=(),
        territory=(),
        outputs=(),
        but={"patent_grant": patent_source} if patent != "?" and patent_source is not source else None,
    )


_STATE = "Keep the notice and state changes."
_KEEP = "Keep the copyright notice and the licence text."
_BY = "Attribution; indicate changes."
_SA = "Attribution; adaptations under the same licence."
_NC = "Attribution; not for what is primarily intended for commercial advantage."
_NC_SA = f"{_NC} Adaptations under the same licence."
_ND = "Changed, fine-tuned or quantised copies may be made in private and must not be shared."
_PATENTS = "Patents and trademarks are excluded."

TABLE: tuple[Licence, ...] = (
    _open(
        "apache-2.0",
        "Apache-2.0",
        C,
        "Keep the licence and NOTICE; state changes. Express patent grant, no trademark rights. Modifying is allowed.",
        patent="y",
        patent_source=C,
    ),
    _open("mit", "MIT", C, _KEEP, patent="n", patent_source=C),
    _open("bsd-2-clause", "BSD-2-Clause", C, _KEEP, patent="n"),
    _open("bsd-3-clause", "BSD-3-Clause", C, f"{_KEEP} No endorsement.", patent="n"),
    _open("bsd-3-clause-clear", "BSD-3-Clause-Clear", C, "Patent rights are not granted.", patent="n", patent_source=C),
    _open("isc", "ISC", C, _KEEP, patent="n"),
    _open("ncsa", "NCSA", C, _KEEP, patent="n"),
    _open("zlib", "Zlib", C, "Mark changed versions.", patent="n"),
    _open("postgresql", "PostgreSQL", C, _KEEP, patent="n"),
    _open("bsl-1.0", "BSL-1.0", C, "Boost, not Business Source. The notice goes with source only.", patent="n"),
    _open("afl-3.0", "AFL-3.0", C, _STATE, patent="y", patent_source=C),
    _open(
        "ecl-2.0",
        "ECL-2.0",
        C,
        "As Apache-2.0, with a narrower patent grant for institutions.",
        patent="y",
        patent_source=C,
    ),
    _open(
        "artistic-2.0",
        "Artistic-2.0",
        C,
        "Weak: changed versions only under the conditions of the text.",
        rights="yyc",
        share=FILE,
        patent="y",
    ),
    _open("ms-pl", "MS-PL", C, "Weak: source is passed on under MS-PL.", share=FILE, patent="y"),
    _open("unlicense", "Unlicense", C, "Dedicated to the public domain.", notice="n", patent="n"),
    _open("wtfpl", "WTFPL", C, "Not approved by the OSI.", notice="n", patent="n"),
    _open("cc0-1.0", "CC0-1.0", C, "Patents and trademarks are not waived.", notice="n", patent="n", patent_source=C),
    _open("pddl", "PDDL-1.0", D, "Data dedicated to the public domain.", notice="n"),
    _open("lgpl-2.1", "LGPL-2.1", C, "Source of changes to the library.", share=LIBRARY),
    _open(
        "lgpl-3.0",
        "LGPL-3.0",
        C,
        "Source of changes to the library; patent grant.",
        share=LIBRARY,
        patent="y",
        patent_source=C,
    ),
    _open("gpl-2.0", "GPL-2.0", C, "Disclose source, under the same licence.", share=WORK),
    _open(
        "gpl-3.0",
        "GPL-3.0",
        C,
        "Disclose source, under the same licence; express patent grant.",
        share=WORK,
        patent="y",
        patent_source=C,
    ),
    _open("agpl-3.0", "AGPL-3.0", C, "Source also to those who use it over a network.", share=NETWORK, patent="y"),
    _open("mpl-2.0", "MPL-2.0", C, "Copyleft file by file.", share=FILE, patent="y"),
    _open("epl-1.0", "EPL-1.0", C, "Weak: disclose the source of the program itself.", share=WORK, patent="y"),
    _open("epl-2.0", "EPL-2.0", C, "Weak: disclose the source of the program itself.", share=WORK, patent="y"),
    _open("eupl-1.1", "EUPL-1.1", C, "Use over a network counts as distribution.", share=NETWORK, patent="y"),
    _open(
        "eupl-1.2",
        "EUPL-1.2",
        C,
        "Use over a network counts as distribution; a list of compatible licences.",
        share=NETWORK,
        patent="y",
    ),
    _open("osl-3.0", "OSL-3.0", C, "External deployment counts as distribution.", share=NETWORK, patent="y"),
    _open("lppl-1.3c", "LPPL-1.3c", C, "Rename or mark what is changed.", rights="yyc", patent="n"),
    _open("ofl-1.1", "OFL-1.1", C, "Not sold by itself; reserved font names.", share=WORK, patent="n"),
    _open("cc-by-2.0", "CC-BY-2.0", D, _BY),
    _open("cc-by-2.5", "CC-BY-2.5", D, _BY),
    _open("cc-by-3.0", "CC-BY-3.0", D, _BY),
    _open("cc-by-4.0", "CC-BY-4.0", C, f"{_BY} {_PATENTS}", patent="n", patent_source=C),
    _open("cc-by-sa-3.0", "CC-BY-SA-3.0", D, _SA, share=WORK),
    _open("cc-by-sa-4.0", "CC-BY-SA-4.0", C, f"{_SA} {_PATENTS}", share=WORK, patent="n"),
    _open("cc-by-nc-2.0", "CC-BY-NC-2.0", D, _NC, rights="nyc"),
    _open("cc-by-nc-3.0", "CC-BY-NC-3.0", D, _NC, rights="nyc"),
    _open("cc-by-nc-4.0", "CC-BY-NC-4.0", D, f"{_NC} {_PATENTS}", rights="nyc", patent="n"),
    _open("cc-by-nc-sa-2.0", "CC-BY-NC-SA-2.0", D, _NC_SA, rights="nyc", share=WORK),
    _open("cc-by-nc-sa-3.0", "CC-BY-NC-SA-3.0", D, _NC_SA, rights="nyc", share=WORK),
    _open("cc-by-nc-sa-4.0", "CC-BY-NC-SA-4.0", D, f"{_NC_SA} {_PATENTS}", rights="nyc", share=WORK, patent="n"),
    _open("cc-by-nd-4.0", "CC-BY-ND-4.0", D, f"Attribution. {_ND} {_PATENTS}", rights="yny", patent="n"),
    _open("cc-by-nc-nd-3.0", "CC-BY-NC-ND-3.0", D, f"{_NC} {_ND}", rights="nnc"),
    _open("cc-by-nc-nd-4.0", "CC-BY-NC-ND-4.0", D, f"{_NC} {_ND} {_PATENTS}", rights="nnc", patent="n"),
    _open(
        "cdla-permissive-1.0",
        "CDLA-Permissive-1.0",
        S,
        "Data. Pass on the text or a link, keep attributions, mark changed files. Results are free.",
        patent="n",
        patent_source=S,
    ),
    _open(
        "cdla-permissive-2.0",
        "CDLA-Permissive-2.0",
        S,
        "Data. Pass on the text. Results are free.",
        patent="n",
        patent_source=S,
    ),
    _open(
        "cdla-sharing-1.0",
        "CDLA-Sharing-1.0",
        S,
        "Data is published again only under the same text, without further limits. Results are free.",
        share=WORK,
    ),
    _open(
        "c-uda",
        "C-UDA-1.0",
        S,
        "Data, for computational use only; recipients are bound to the same. Results are free.",
        share=USE_TERMS,
        restricted="y",
    ),
    _open("odc-by", "ODC-By-1.0", D, "Attribution; database rights."),
    _open("odbl", "ODbL-1.0", C, "Databases made from it under the same licence.", share=WORK, patent="n"),
    _open("etalab-2.0", "etalab-2.0", S, "Mention the source and its date."),
    _open("lgpl-lr", "LGPLLR", S, "Linguistic resources: changes to the data under the same licence.", share=LIBRARY),
)
