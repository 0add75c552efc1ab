"""The ``npm:`` source: the archive of one release of a JavaScript package, as ``npm pack`` brings it.

npm itself is asked, so that all it is configured with counts: the registry, its user, its certificate, a proxy. No
code of the package runs (``--ignore-scripts``), and nothing is installed. Where npm is not there, the archive can be
got on a machine that has it, and adopted with ``--from-file``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from caffezoo.errors import SourceError, VerificationError
from caffezoo.weights.failures import BusyError, ByHandError, GoneError, OfflineError, SignInError
from caffezoo.weights.http import without_secrets
from caffezoo.weights.sources import Request, SourceStream, stream_of_file

RELEASE = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*@\d+\.\d+\.\d+[A-Za-z0-9.+-]*")
"""``PACKAGE@VERSION``: neither a range nor a tag, a folder or a repository, which npm would take too."""

MAX_SECONDS = 3600  # npm gives up a server that sends nothing by itself

# npm's own codes (npm/cli lib/utils/error-message.js, make-fetch-happen), and node's of connections.
_KINDS: tuple[tuple[str, type[SourceError] | type[VerificationError]], ...] = (
    (r"E404|ETARGET|EUNPUBLISHED", GoneError),
    (r"E401|E403|ENEEDAUTH|EOTP", SignInError),
    (r"ENOTCACHED", OfflineError),
    (r"EINTEGRITY|EBADCHECKSUM", VerificationError),
    (r"E429|E5\d\d|ECONN\w+|ETIMEDOUT|ERR_SOCKET_TIMEOUT|EAI_AGAIN|ENOTFOUND|EHOST\w+|ENET\w+|EPIPE", BusyError),
)


def open_package(release: str, request: Request) -> SourceStream:
    """Open the archive of a release.

    Parameters
    ----------
    release : str
        ``PACKAGE@VERSION``.
    request : Request
        Offline, npm looks into its own cache only. A new answer always begins at the first byte.

    Raises
    ------
    SourceError
        npm is not there, or what it says; a busy registry as :class:`~caffezoo.weights.failures.BusyError`.
    VerificationError
        What came is not what the registry's own hash says.
    """
    where = f"npm {release}"
    if not RELEASE.fullmatch(release):
        raise SourceError(f"'{release}' is not PACKAGE@VERSION", where="npm")
    npm = shutil.which("npm")
    if npm is None:
        raise ByHandError(
            f"npm is not installed: get the archive with `npm pack {release}` on a machine that has it, and give it as"
            " --from-file",
            where=where,
        )
    # Not the working directory's .npmrc: what is fetched does not depend on where the command is given.
    folder = TemporaryDirectory(prefix="caffezoo-npm-")
    try:
        archive = _pack(npm, release, request, Path(folder.name))
        stream = stream_of_file(archive, replace(request, offset_bytes=0, validator=None))
    except BaseException:
        folder.cleanup()
        raise
    return replace(stream, validator=None, close=folder.cleanup)


def _pack(npm: str, release: str, request: Request, folder: Path) -> Path:
    command = [npm, "pack", "--json", "--ignore-scripts", "--loglevel=error", f"--pack-destination={folder}"]
    # The fetcher tries again by itself.
    command += ["--fetch-retries=0", f"--fetch-timeout={max(round(request.timeout_s * 1000), 1)}"]
    command += ["--offline"] if request.offline else []
    where = f"npm {release}"
    try:
        ran = subprocess.run(
            [*command, "--", release],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=MAX_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BusyError(f"npm did not end within {MAX_SECONDS} s", where=where) from None
    except OSError as error:
        raise SourceError(f"npm cannot be run: {error.strerror}", where=where) from error
    if ran.returncode:
        raise _failure(ran.stdout, ran.stderr, where)
    found = [path for path in folder.glob("*.tgz") if path.is_file()]
    if len(found) != 1:
        raise SourceError(f"npm says that all went well, and left {len(found) or 'no'} archives", where=where)
    return found[0]


def _failure(out: str, err: str, where: str) -> SourceError | VerificationError:
    """Make npm's words an error: the JSON object on its standard output, else the lines on the other one."""
    code, summary = "", ""
    try:
        told = json.loads(out)["error"]
        code, summary = str(told["code"]), str(told["summary"])
    except (ValueError, KeyError, TypeError):
        lines = [re.sub(r"^npm (?:ERR!|error) ?", "", line) for line in err.splitlines() if line.strip()]
        code = next((line[5:] for line in lines if re.fullmatch(r"code \w+", line)), "")
        summary = next((line for line in lines if not line.startswith(("code ", "errno ", "syscall "))), "")
    words = [without_secrets(word) if "://" in word else word for word in summary.split()]
    message = f"npm: {' '.join(filter(None, [code, *words]))}"[:300] if code or words else "npm failed without a word"
    kind = next((kind for pattern, kind in _KINDS if re.fullmatch(pattern, code)), SourceError)
    return kind(message, where=where)
