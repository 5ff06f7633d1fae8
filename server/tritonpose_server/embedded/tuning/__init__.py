"""How a server uses its machine: threads, streams, processes, batches, queues.

``settings`` has every knob, ``defaults`` the rules for those that nobody sets, ``file`` reads and
writes them, ``apply`` puts them into Triton's configurations. The rest is ``tritonpose tune``:
``search`` decides what to try, ``arena`` measures it, ``run`` does both, ``report`` tells it.
"""
