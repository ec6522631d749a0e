"""Secrets at rest: encrypted with a key of the installation's, which can be rotated.

`SIDELINE_SECRET_KEYS` holds Fernet keys, the newest first: it encrypts, all of them decrypt.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from domain.errors import Invalid, Unavailable


def make_key() -> str:
    """A fresh key."""
    return Fernet.generate_key().decode()


class SecretBox:
    """Encrypts and decrypts.

    Args:
        keys: The newest first.

    Raises:
        Invalid: there is no key, or one is none of Fernet's.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise Invalid(
                "SIDELINE_SECRET_KEYS: give Fernet keys separated by commas, the newest first; "
                "`sideline secret-key` makes one.",
                path=("SIDELINE_SECRET_KEYS",),
            ) from error

    def seal(self, secret: bytes) -> bytes:
        """The secret as it is stored."""
        return self._fernet.encrypt(secret)

    def open(self, sealed: bytes) -> bytes:
        """The secret itself.

        Raises:
            Unavailable: it was sealed with a key that is not among ours.
        """
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken as error:
            raise Unavailable("A stored secret cannot be read: its key is not in SIDELINE_SECRET_KEYS.") from error
