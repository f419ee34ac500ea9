"""Archives fetched over https or by apt-get: what is published here has the pinned bytes.

An archive appears as `<digest>.<format>` in the downloads folder only after its digest was checked.
What is fetched lies beside it as `.part` until then, and is taken up again by the next run; what
has the wrong bytes is kept as `.bad`.
"""

from wavlm.corpus.download.apt import fetch_apt
from wavlm.corpus.download.https import fetch
from wavlm.corpus.download.pin import Pin
from wavlm.corpus.download.transfer import RetryPolicy

__all__ = ["Pin", "RetryPolicy", "fetch", "fetch_apt"]
