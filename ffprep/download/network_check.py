"""Notices that it is this machine that reaches nothing, not one server after the other."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

from ffprep.errors import FfprepError

ROWS, HOSTS = 64, 16
"""So many rows, of so many hosts, without a single answer are no accident."""
MANY_ROWS = 512
"""So many are none either if they all fail for a cause in `_OURS`, be it at one host."""

_OURS = {"dns", "dns_temporary", "no_network", "proxy"}
_PERHAPS_OURS = _OURS | {"connection", "timeout", "unresponsive_host"}
_NEITHER = {"bad_url", "refused_address"}

_REMEDIES = {
    "dns": "see whether this machine can look names up",
    "dns_temporary": "see whether this machine can look names up",
    "no_network": "see whether this machine is connected",
    "proxy": "see whether the proxy of http_proxy, https_proxy or all_proxy runs and takes the user and password",
    "tls": "see whether this machine's certificates are installed (SSL_CERT_FILE) and its clock is right",
    "connection": "see whether a firewall or a missing proxy is in the way",
    "timeout": "see whether a firewall or a missing proxy is in the way",
    "unresponsive_host": "see whether a firewall or a missing proxy is in the way",
}


class NetworkCheck:
    """Judges the outcomes of new rows, one by one, until the network is known to work.

    Attributes
    ----------
    undecided : bool
        Whether there were only failures that may be this machine's own; they should not be recorded yet.
    """

    def __init__(self) -> None:
        self._any = _Evidence("nothing could be reached", _PERHAPS_OURS, _OURS)
        self._answered = False
        self._tls = _Evidence("no server's certificate could be verified", {"tls"}, {"tls"})

    @property
    def undecided(self) -> bool:
        return self._any.undecided or self._tls.undecided

    def add(self, status: str, url: str) -> None:
        """Take a row's outcome into account.

        Raises
        ------
        FfprepError
            When it is certain by now that this machine reaches nothing.
        """
        if (self._any.works and self._tls.works) or status in _NEITHER:
            return
        self._answered = self._answered or status not in _PERHAPS_OURS | {"tls"}
        self._any.add(status, url)
        if status == "tls" or (url[:6].lower() == "https:" and status not in _PERHAPS_OURS):
            self._tls.add(status, url)

    def settle(self, fresh: bool) -> None:
        """Decide although few rows have been asked for.

        Parameters
        ----------
        fresh : bool
            Whether nothing has been downloaded earlier.

        Raises
        ------
        FfprepError
            When a fresh download consists of failures of this machine alone.
        """
        if fresh and not self._answered:
            self._any.fail_if_ours()
            self._tls.fail_if_ours()
        self._any.works = self._tls.works = True


class _Evidence:
    def __init__(self, what: str, perhaps: set[str], ours: set[str]) -> None:
        self._what = what
        self._perhaps, self._ours = perhaps, ours
        self._causes: Counter[str] = Counter()
        self._hosts: set[str] = set()
        self.works = False

    @property
    def undecided(self) -> bool:
        return not self.works and bool(self._causes)

    def add(self, status: str, url: str) -> None:
        if self.works:
            return
        if status not in self._perhaps:
            self.works = True
            return
        self._causes[status] += 1
        try:
            self._hosts.add(urlsplit(url).netloc.lower())
        except ValueError:
            return
        rows = self._causes.total()
        if rows >= ROWS and len(self._hosts) >= HOSTS:
            self._fail()
        if rows >= MANY_ROWS:
            self.fail_if_ours()
            self.works = True

    def fail_if_ours(self) -> None:
        if self.undecided and self._causes.keys() <= self._ours:
            self._fail()

    def _fail(self) -> None:
        causes = self._causes.most_common()
        named = ", ".join(f"{cause} ({count:,})" for cause, count in causes)
        raise FfprepError(
            f"{self._what}: all {self._causes.total():,} rows at {len(self._hosts):,} hosts failed: {named}. This is "
            f"more likely the fault of this machine than of the servers: {_REMEDIES[causes[0][0]]}. Nothing of it was "
            "recorded; give the same command again afterwards"
        )
