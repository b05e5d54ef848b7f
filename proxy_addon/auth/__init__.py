"""Who a client of the proxy is: an htpasswd file, followed as it is edited, and the door that asks for a password.

What the file may hold is `schemes` and `htpasswd`; what a client says, `credentials`; `users` follows the file,
`attempts` bounds guessing, and `door` puts them together. A user is let in by the file as it is now, never by what it
was when he came.
"""

from .credentials import FIELD, Credentials
from .door import Door, Login, Turned
from .users import Unfit, Users

__all__ = ["FIELD", "Credentials", "Door", "Login", "Turned", "Unfit", "Users"]
