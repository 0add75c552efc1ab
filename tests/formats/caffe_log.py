"""What real Caffe makes of a file, each question in a process of its own because Caffe aborts on bad input."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from google.protobuf import text_format

from caffezoo.formats import caffe_pb2 as pb
from tests.oracle import oracle_python


def run_caffe(code: str, *arguments: Path) -> tuple[int, str, str]:
    """Run Python code under real Caffe, beside its first file; return exit status, stdout and stderr.

    Caffe makes a database where a Data layer names one that is not there.
    """
    python = oracle_python()
    assert python is not None
    done = subprocess.run(
        [os.path.abspath(python), "-c", "import sys, caffe\nimport numpy as np\n" + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=arguments[0].parent,
    )
    return done.returncode, done.stdout, done.stderr


def caffe_upgraded_net(prototxt: Path) -> pb.NetParameter:
    """The net that Caffe logs when it begins to build it: upgraded and filtered for TEST."""
    _, _, log = run_caffe("caffe.Net(sys.argv[1], caffe.TEST)", prototxt)
    found = re.search(r"Initializing net from parameters: \n(.*?)\n[IFEW]\d{8} ", log, re.DOTALL)
    assert found, log
    return text_format.Parse(found[1], pb.NetParameter())
