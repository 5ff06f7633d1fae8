"""Keeps shared memory from the machine's other users, with the Linux kernel's help."""

from __future__ import annotations

import ctypes
import os

_PR_SET_NO_NEW_PRIVS = 38
_SYS_SECCOMP = 317
_SECCOMP_SET_MODE_FILTER = 1
# Without it, older kernels make the process slower, against attacks that don't concern it.
_SECCOMP_FILTER_FLAG_SPEC_ALLOW = 1 << 2

_AUDIT_ARCH_X86_64 = 0xC000003E
_SYS_FCHMOD = 91
_ALLOW = 0x7FFF0000
# With the error number 0: the call does nothing and succeeds.
_SUCCEED_WITHOUT_EFFECT = 0x00050000

# Offsets in the kernel's `struct seccomp_data`.
_NUMBER, _ARCHITECTURE = 0, 4
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06


class _Instruction(ctypes.Structure):
    """The kernel's `struct sock_filter`."""

    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    """The kernel's `struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


_INSTRUCTIONS = (_Instruction * 6)(
    _Instruction(_LOAD, 0, 0, _ARCHITECTURE),
    _Instruction(_JUMP_IF_EQUAL, 0, 3, _AUDIT_ARCH_X86_64),
    _Instruction(_LOAD, 0, 0, _NUMBER),
    _Instruction(_JUMP_IF_EQUAL, 0, 1, _SYS_FCHMOD),
    _Instruction(_RETURN, 0, 0, _SUCCEED_WITHOUT_EFFECT),
    _Instruction(_RETURN, 0, 0, _ALLOW),
)


def keep_files_private() -> bool:
    """Give what this process and its children will make to its user alone: files, shared memory.

    Triton's Python backend opens its regions of shared memory, which hold photos, to everybody
    after it has made them (by ``fchmod``): that call is made to do nothing. Returns False where the
    kernel has no seccomp filters; then only the mask for new files is set.
    """
    os.umask(0o077)
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(_INSTRUCTIONS), _INSTRUCTIONS)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    status: int = libc.syscall(
        ctypes.c_long(_SYS_SECCOMP),
        ctypes.c_long(_SECCOMP_SET_MODE_FILTER),
        ctypes.c_long(_SECCOMP_FILTER_FLAG_SPEC_ALLOW),
        ctypes.byref(program),
    )
    return status == 0
