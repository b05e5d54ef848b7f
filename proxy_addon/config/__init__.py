"""Settings: what the operator wrote, parsed once into frozen values.

`load` reads one YAML file strictly, lays command-line overrides over it and reports *every* fault together, each as
`file:line: key: what is wrong; how to fix it`. `probe` asks the machine what text alone cannot tell: whether the named
places can be read and written. Nothing below this package sees a string with a unit in it: durations are seconds,
sizes are bytes, rates are bytes a second. A new key goes into `settings.py` and into `example.py`; a test holds the
two equal.
"""

from .load import load
from .machine import probe
from .places import ConnectTo, Listen, Network, OtherHost
from .settings import LOOPBACK, Limits, Settings, Subscription

__all__ = [
    "LOOPBACK", "ConnectTo", "Limits", "Listen", "Network", "OtherHost", "Settings", "Subscription", "load", "probe",
]  # fmt: skip
