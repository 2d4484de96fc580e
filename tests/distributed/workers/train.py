"""``python -m minideconv.train`` as a file."""

from __future__ import annotations

import sys

from minideconv import train

sys.exit(train.main())
