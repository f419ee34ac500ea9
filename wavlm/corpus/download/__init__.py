"""Download archives over https or by apt-get, and check their digests.

Files of the downloads folder:

- `<digest>.<format>`: an archive; it appears only after its digest was checked,
- `<digest>.<format>.part`: an unfinished download; the next run continues it,
- `<digest>.<format>.bad`: a download with the wrong bytes,
- `<digest of the address>.<format>.digest.json`: the digest of the first download, where the publisher gives none.
"""

from wavlm.corpus.credentials import Credentials, read_credentials
from wavlm.corpus.download.apt import fetch_apt
from wavlm.corpus.download.https import fetch
from wavlm.corpus.download.pin import Pin
from wavlm.corpus.download.transfer import RetryPolicy

__all__ = ["Credentials", "Pin", "RetryPolicy", "fetch", "fetch_apt", "read_credentials"]
