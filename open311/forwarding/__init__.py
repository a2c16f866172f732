"""Handing reports over to the systems in which their teams live: nothing lost, nothing doubled.

    with transaction() as session:
        queued = queueing.enqueue(session, reports, now=now)             # after triage
    with transaction() as session:
        jobs = claiming.claim(session, now=now, base_url=…, ids=queued)  # ours until the lease ends
    outcomes = calling.carry_out(jobs, remotes, …)                       # outside any transaction
    with transaction() as session:
        recording.record(session, outcomes, now=now)

1. A sending is written down (`forwarding_attempts`) in the transaction that claims it, before it is
   made. While it has no outcome nobody knows whether the other system has the report.
2. So an answer that was lost, by them, by the line or by a worker that was killed, leaves an open
   attempt behind, and whoever claims the forwarding next does not send: it looks in their list for
   the service, the words and the place, within the window of the attempts.
3. Found: that is its id. Surely not there, once a request would have settled in their list: the
   attempt is closed and the report sent again. Where their list cannot tell (a batch or black-box
   service, no list), a person is asked.
4. A token is asked about until it has become an id, or its patience ends.
5. What they refuse for its content waits for a person, with their words in the report's history.
   Whatever else fails comes back after a growing wait; an endpoint that keeps failing is left alone
   (`rules.Circuit`), and what waits for it is not tried.
"""
