"""A run of hubgate among faults: real processes, many clients, all troubles at random times, every reply judged.

`world` is what the hubs hold and what is true at a time; `crowd` and `actions` are the clients; `weather` is what the
hubs do wrong, `mishaps` what happens to the processes and to their disk; `judge` says of one reply whether it was
right, `ledger` keeps what was said and which trouble excuses what; `ending` is the reckoning when all troubles are
over. All that is drawn comes from one seed: what each client asks for and which troubles come in which order are the
same in every run of that seed; how they fall together in time is the machine's.

What must hold, whatever the troubles:

* bytes of a 200 or 206 are those of the revision that the reply names, and of one that was current within
  `freshness.ref`, or the reply is marked stale; a reply that is cut is a prefix of that;
* what is closed is never given to a wrong token, and what a rule denies to nobody;
* files that are pinned are served at their commit, hub or no hub, full disk or not, as long as a proxy runs;
* whoever asks while no trouble excuses it is served, within a time;
* at the end nothing is damaged, lost, left open or told.
"""
