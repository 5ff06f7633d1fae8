"""Which of PaddleX's recorded results a machine is compared with."""

import pytest

from reference_data import golden_folder


@pytest.mark.parametrize(
    ("cpuinfo", "folder"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512bw\n", "golden"),
        ("flags\t\t: fpu avx avx2 fma\n", "golden_avx2"),
        ("Features\t: fp asimd\n", "golden_avx2"),
    ],
)
def test_the_cpu_decides(cpuinfo: str, folder: str) -> None:
    assert golden_folder(cpuinfo) == folder
