"""``python -m numpro_plugin.cli``: the `numpro` command."""

import sys

from numpro_plugin.cli.main import main

sys.exit(main())
