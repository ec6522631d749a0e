"""A bounded run of a real installation under mixed load, with faults, that is judged by oracles at its end.

    plan        how long, how much, and which fault when, all from a seed
    world       a team, its people, and what was sent and acknowledged
    client      a client that keeps to the documented rules of trying again
    people      who uses the apps: reps and managers, an admin, a guest whose access comes and goes
    feeds       what brings activities: imports, corrections, files; exports that take them out
    followers   integrators: WebSocket, server-sent events, the example program, receivers of webhooks and mails
    faults      what is done to the installation
    watch       memory, descriptors, connections and lag, looked at while it runs
    drained     what is still to do, and what is held
    judging     pure functions that find fault with what was seen; they have tests of their own
    checks      what is asked at the end, and given to them
    run         all of it together

`python -m tests.soak --minutes 30` runs it; `tests/running/test_soak.py` runs two minutes of it.
"""
