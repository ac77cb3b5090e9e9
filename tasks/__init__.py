"""What a task is: the domain, imported by `api`, `jobs` and `scheduler`, importing none of them.

Glossary
    task        the promise: a row in PostgreSQL, remembered whatever happens to Redis
    kind        what a task asks for: a name, a payload schema, a handler and its terms
    handler     the function that does the work of one kind
    job         RQ's delivery of a task: a nudge through Redis that may come late, twice or never
    attempt     one execution of a task by one worker, numbered from 1
    move        a permitted change of a task's status, made by a force: client, worker or clock
    worker      one incarnation of a worker process, known by its RQ worker name
    lease       how long a worker is believed alive without hearing from it
    horse       a warm child process of a worker that runs handlers
    fence       the pair (attempt number, worker) that every word of a worker must name
    queue       a queue name and a priority: one RQ queue, called `<queue_name>:<priority>`
    schedule    a rule that creates a task at each of its ticks; a fire is one tick, decided once
"""
