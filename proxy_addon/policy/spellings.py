"""How licences are written by people and hubs, brought to one spelling that can be looked up.

Two texts that differ only in case, spaces, punctuation, or in words such as "License", "Version" and "the", are one
spelling. What remains different is listed here. A name without a version is a family, and never the newest member.
"""

from __future__ import annotations

import re
import unicodedata

from .terms import Family

_APART = re.compile(r"[^\w.+*]+|_+")
_EMPTY = {"license", "licence", "licenses", "licences", "licensed", "agreement", "under", "the", "version", "v"}
_VERSION = re.compile(r"v(?=\d)")


def spelling(text: str) -> str:
    """`Apache License, Version 2.0` and `apache-2.0` are both `apache-2.0`; empty if the text names nothing."""
    words = _APART.split(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()))
    bare = (_VERSION.sub("", word.strip(".*`"), count=1) if word[:1] == "v" else word.strip(".*`") for word in words)
    return "-".join(word for word in bare if word and word not in _EMPTY)


_GNU, _LESSER = "GNU General Public License", "GNU Lesser General Public License"
_CC = "Creative Commons Attribution"

#: Other spellings of an id. `-only` and `-or-later` differ in what may come later, not in what a copy may be used for.
ALIASES: tuple[tuple[str, str], ...] = (
    *((text, "apache-2.0") for text in ("apache 2", "apache2.0", "apache2", "asl 2.0", "Apache Software License 2.0")),
    *((text, "mit") for text in ("expat", "The MIT License (MIT)", "MIT Expat")),
    *((text, "bsd-2-clause") for text in ("bsd 2", "bsd2", "Simplified BSD", "FreeBSD", "BSD 2-Clause Simplified")),
    *((text, "bsd-3-clause") for text in ("bsd 3", "bsd3", "New BSD", "Modified BSD", "BSD 3-Clause New or Revised")),
    *((text, "bsl-1.0") for text in ("boost-1.0", "Boost Software License 1.0", "Boost Software License")),
    *((text, "afl-3.0") for text in ("Academic Free License v3.0",)),
    *((text, "ecl-2.0") for text in ("Educational Community License v2.0",)),
    *((text, "ms-pl") for text in ("Microsoft Public License",)),
    *((text, "ncsa") for text in ("University of Illinois/NCSA Open Source License",)),
    *((text, "unlicense") for text in ("The Unlicense (Unlicense)",)),
    *((text, "cc0-1.0") for text in ("cc0", "cc zero", "cc0 1.0 universal", "Creative Commons Zero v1.0 Universal")),
    *((text, "pddl") for text in ("pddl 1.0", "Open Data Commons Public Domain Dedication and License")),
    *((text, "odc-by") for text in ("odc-by 1.0", "Open Data Commons Attribution License", "odc by v1.0")),
    *((text, "odbl") for text in ("odbl 1.0", "Open Database License", "Open Data Commons Open Database License")),
    *((text, "mpl-2.0") for text in ("mpl 2", "mpl2.0", "Mozilla Public License 2.0")),
    *((text, "gpl-2.0") for text in ("gpl 2", "gplv2", "gplv2.0", "gnu gpl 2", f"{_GNU} v2.0", f"{_GNU} v2")),
    *((text, "gpl-2.0") for text in ("gpl-2.0-only", "gpl-2.0-or-later", "gpl-2.0+", f"{_GNU} v2.0 or later")),
    *((text, "gpl-3.0") for text in ("gpl 3", "gplv3", "gplv3.0", "gnu gpl 3", f"{_GNU} v3.0", f"{_GNU} v3")),
    *((text, "gpl-3.0") for text in ("gpl-3.0-only", "gpl-3.0-or-later", "gpl-3.0+", f"{_GNU} v3.0 or later")),
    *((text, "lgpl-2.1") for text in ("lgplv2.1", "lgpl-2.1-only", "lgpl-2.1-or-later", "lgpl-2.1+")),
    *((text, "lgpl-2.1") for text in (f"{_LESSER} v2.1",)),
    *((text, "lgpl-3.0") for text in ("lgpl 3", "lgplv3", "lgpl-3.0-only", "lgpl-3.0-or-later", "lgpl-3.0+")),
    *((text, "lgpl-3.0") for text in (f"{_LESSER} v3.0", f"{_LESSER} v3")),
    *((text, "agpl-3.0") for text in ("agpl 3", "agplv3", "agpl-3.0-only", "agpl-3.0-or-later", "agpl-3.0+")),
    *((text, "agpl-3.0") for text in ("GNU Affero General Public License v3.0", "GNU AGPL v3", "GNU AGPLv3")),
    *((text, "eupl-1.1") for text in ("European Union Public License 1.1", "European Union Public Licence 1.1")),
    *((text, "eupl-1.2") for text in ("European Union Public License 1.2", "European Union Public Licence 1.2")),
    *((text, "epl-1.0") for text in ("Eclipse Public License 1.0",)),
    *((text, "epl-2.0") for text in ("Eclipse Public License 2.0", "epl 2")),
    *((text, "ofl-1.1") for text in ("SIL Open Font License 1.1", "SIL OFL 1.1")),
    *((text, "etalab-2.0") for text in ("Etalab Open License 2.0", "Licence Ouverte 2.0", "Open Licence 2.0")),
    *((text, "lgpl-lr") for text in ("lgpllr", "Lesser General Public License For Linguistic Resources")),
    *((text, "c-uda") for text in ("c-uda 1.0", "Computational Use of Data Agreement")),
    (f"{_CC} 4.0 International", "cc-by-4.0"),
    (f"{_CC} ShareAlike 4.0 International", "cc-by-sa-4.0"),
    (f"{_CC} NonCommercial 4.0 International", "cc-by-nc-4.0"),
    (f"{_CC} NonCommercial ShareAlike 4.0 International", "cc-by-nc-sa-4.0"),
    (f"{_CC} NoDerivatives 4.0 International", "cc-by-nd-4.0"),
    (f"{_CC} NonCommercial NoDerivatives 4.0 International", "cc-by-nc-nd-4.0"),
    *((f"{_CC} {version}", f"cc-by-{version}") for version in ("2.0", "2.5", "3.0", "4.0")),
    *((f"{_CC} Share Alike {version}", f"cc-by-sa-{version}") for version in ("3.0", "4.0")),
    *((f"{_CC} Non Commercial {version}", f"cc-by-nc-{version}") for version in ("2.0", "3.0", "4.0")),
    *((f"{_CC} Non Commercial Share Alike {version}", f"cc-by-nc-sa-{version}") for version in ("2.0", "3.0", "4.0")),
    *((f"{_CC} No Derivatives {version}", f"cc-by-nd-{version}") for version in ("4.0",)),
    *((f"{_CC} Non Commercial No Derivatives {version}", f"cc-by-nc-nd-{version}") for version in ("3.0", "4.0")),
    *((f"Community Data License Agreement - {kind}, Version {version}", f"cdla-{kind.lower()}-{version}")
      for kind, version in (("Sharing", "1.0"), ("Permissive", "1.0"), ("Permissive", "2.0"))),
    *((text, "openrail++") for text in ("openrail++-m", "Open Rail++-M License", "CreativeML Open RAIL++-M License")),
    *((text, "creativeml-openrail-m") for text in ("CreativeML Open RAIL-M",)),
    *((text, "bigscience-openrail-m") for text in ("BigScience Open RAIL-M",)),
    *((text, "bigcode-openrail-m") for text in ("BigCode Open RAIL-M v1", "bigcode-openrail-m-v1")),
    *((text, "bigscience-bloom-rail-1.0") for text in ("BigScience RAIL License v1.0", "bigscience-rail-1.0")),
    *((f"{maker}llama{gap}{version}{rest}", f"llama{version}")
      for version in ("2", "3", "3.1", "3.2", "3.3", "4")
      for maker in ("", "Meta ")
      for gap in ("", " ")
      for rest in ("", " Community", " Community License Agreement")
      if (maker, gap, rest) != ("", "", "")),
    *((text, "gemma") for text in ("Gemma Terms of Use",)),
    *((text, "apple-amlr") for text in ("apple-ml-research", "Apple Machine Learning Research Model License")),
    *((text, "grok2-community") for text in ("Grok 2 Community License Agreement",)),
    *((text, "fair-noncommercial-research-license") for text in ("FAIR Noncommercial Research License v1",)),
    *((text, "deepseek") for text in ("deepseek-model", "deepseek-license-1.0")),
    *((text, "qwen-research") for text in ("tongyi-qianwen-research",)),
    *((text, "stability-ai-community") for text in ("stabilityai-ai-community", "Stability Community License")),
    *((text, "flux-1-dev-non-commercial-license") for text in ("flux.1-dev-non-commercial-license", "flux-1-dev-nc")),
    *((text, "nvidia-open-model-license") for text in ("nvidia-open-model", "NVIDIA Open Model License Agreement")),
    *((text, "falcon-llm-license") for text in ("falcon-2", "falcon2", "Falcon 2 11B TII License")),
    *((text, "exaone") for text in ("exaone-1.1-nc", "exaone-nc", "EXAONE AI Model License Agreement 1.1 - NC")),
    *((text, "modified-mit") for text in ("Modified MIT License",)),
    *((text, "mistral-ai-research") for text in ("mrl", "mrl-0.1", "Mistral AI Research License", "mistral-research")),
    *((text, "ltx-video-open-weights") for text in ("ltx-video-open-weights-license",)),
)  # fmt: skip

#: Names of one maker's licences that differ in their end only; the strictest of them is in the table.
PREFIXES = {"tencent-hunyuan-": "tencent-hunyuan-community"}

_PICK = "The uploader must pick a version."
_PICK_NC = f"{_PICK} None allows commercial use."

FAMILIES: tuple[Family, ...] = (
    Family("gpl", ("gpl-2.0", "gpl-3.0"), _PICK),
    Family("lgpl", ("lgpl-2.1", "lgpl-3.0"), _PICK),
    Family("agpl", ("agpl-3.0",), _PICK),
    Family("bsd", ("bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear"), "The uploader must say how many clauses."),
    Family("cc", ("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0"), "They differ in much."),
    Family("cc-by", ("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0"), _PICK),
    Family("cc-by-sa", ("cc-by-sa-3.0", "cc-by-sa-4.0"), _PICK),
    Family("cc-by-nc", ("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0"), _PICK_NC),
    Family("cc-by-nc-sa", ("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"), _PICK_NC),
    Family("cc-by-nd", ("cc-by-nd-4.0",), _PICK),
    Family("cc-by-nc-nd", ("cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"), _PICK_NC),
    Family("gfdl", (), f"{_PICK} All are copyleft for texts; invariant sections may not be changed."),
    Family("openrail", ("bigscience-openrail-m", "creativeml-openrail-m", "bigcode-openrail-m", "openrail++"),
           "Each has its own list of forbidden uses."),
    Family("apache", ("apache-2.0",), _PICK),
    Family("bsl", ("bsl-1.0",), "Boost is free software, and Business Source 1.1 is not: both are written so."),
    Family("llama", ("llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4"), _PICK),
    Family("cdla", ("cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0"), "Permissive or sharing."),
)  # fmt: skip

#: Other spellings of a family.
LOOSE: tuple[tuple[str, str], ...] = (
    (_GNU, "gpl"), ("gnu gpl", "gpl"), (_LESSER, "lgpl"), ("gnu lgpl", "lgpl"),
    ("GNU Affero General Public License", "agpl"), ("gnu agpl", "agpl"), ("Creative Commons", "cc"), (_CC, "cc-by"),
    ("GNU Free Documentation License", "gfdl"), ("Open RAIL", "openrail"), ("openrail-m", "openrail"),
    ("Apache Software License", "apache"), ("Meta Llama", "llama"), ("Llama Community License", "llama"),
)  # fmt: skip
