"""Known failures whose words only say that something broke: another line may say why, and goes before them."""

from __future__ import annotations

# id, title, pattern, cause, remedy; the first match counts.
GENERAL = (
    (
        "daemons-not-started",
        "ORTE was unable to reliably start one or more daemons",
        r"unable to reliably start one or more daemons|PRTE daemon has unexpectedly failed after launch",
        "mpirun could not start its daemon on a host: ssh, PATH or libraries there; the lines before say which",
        "read the first line above it; the same image on all hosts and open TCP ports are what it takes",
    ),
    (
        "daemon-lost",
        "ORTE has lost communication with a remote daemon",
        r"(?:ORTE|PRTE|PRRTE) has lost communication with|[Aa] daemon \(?.{0,300}died unexpectedly",
        "mpirun's daemon on a host was killed, or its connection broke",
        "look at that host's log and memory",
    ),
    (
        "started-no-rank",
        "mpirun ended with … and started no rank",
        r"(?:mpirun|torchrun) ended with .{1,40} and started no rank",
        "the launcher program refused its command or could not reach the hosts; what it said follows",
        "read its own lines below; leave custom MPI options out for once to see whether they are the reason",
    ),
    (
        "launcher-gave-up",
        "mpirun ended with … before all ranks had ended",
        r"(?:mpirun|torchrun) ended with .{1,40} before all ranks had ended",
        "mpirun or one of its daemons was killed or lost its connections while ranks ran",
        "read its own lines below, and look at the memory and the log of the hosts",
    ),
    (
        "collective-timeout",
        "Watchdog caught collective operation timeout",
        r"Watchdog caught collective operation timeout|Timed out waiting \d{1,12}ms for (?:recv|send) operation",
        "a collective operation waited for a rank that never came",
        "look for the rank that failed or branched off; raise the timeout of init_process_group only for slow steps",
    ),
    (
        "store-timeout",
        "The client socket has timed out … while trying to connect",
        r"DistStoreError|DistNetworkError|client socket has (?:timed out|failed to connect)|seconds waiting for clients",
        "ranks wait for rank 0's store: a wrong MASTER_ADDR or world size, or blocked ports",
        "take MASTER_ADDR, MASTER_PORT, RANK and WORLD_SIZE as hvdsm sets them; num_nodes is the number of hosts",
    ),
    (
        "gloo-connect",
        "Gloo connectFullMesh failed",
        r"connectFullMesh failed|[Gg]loo.{0,300}[Cc]onnect(?:ion)? (?:timeout|timed out|refused)",
        "Gloo cannot connect the ranks: it listens on another interface, or ports are blocked",
        "set GLOO_SOCKET_IFNAME as hvdsm does where you do not, and allow all TCP between the hosts",
    ),
    (
        "nccl-cuda",
        "unhandled cuda error, NCCL",
        r"ncclUnhandledCudaError|unhandled cuda error",
        "a CUDA call inside of NCCL failed; the line with NCCL WARN says which",
        "set NCCL_DEBUG=WARN and read that line: memory, driver and shared memory are the usual ones",
    ),
    (
        "nccl-remote",
        "ncclRemoteError: … remote process exited",
        r"ncclRemoteError|remote process exited or there was a network error",
        "another rank ended, and this one noticed its broken connection",
        "look for the first failure of another rank, or for that host's end",
    ),
    (
        "nccl-system",
        "unhandled system error, NCCL",
        r"ncclSystemError|unhandled system error",
        "a system call inside of NCCL failed: blocked ports, a wrong interface, too little shared memory",
        "set NCCL_DEBUG=WARN and read its line; allow all TCP between the hosts",
    ),
    (
        "uneven-batches",
        "Horovod has been shut down",
        r"Horovod has been shut down",
        "a rank ended or failed while others still reduced; without a first exception: unequal numbers of batches",
        "look for the first exception of any rank; give every rank the same number of steps, or use hvd.join()",
    ),
    (
        "peer-gone",
        "Connection reset by peer",
        r"Connection (?:closed|reset) by (?:remote )?peer|Broken pipe|Socket closed|gloo::IoException|HorovodInternalError"
        r"|MPI_ERR_PROC_FAILED",
        "a rank on the other end is gone; this one only noticed",
        "look for the first failure of another rank, and for a rank that ended early because it had fewer steps",
    ),
    (
        "child-failed",
        "torch.distributed.elastic … ChildFailedError",
        r"ChildFailedError",
        "torchrun only says that a rank failed; the reason is that rank's own traceback",
        "look above for the first traceback, or decorate main with torch.distributed.elastic.multiprocessing.errors.record",
    ),
    (
        "toolkit-error",
        "ExecuteUserScriptError … ExitCode 1",
        r"ExecuteUserScriptError",
        "the SageMaker toolkit says only that the script failed; the reason is above, in the first traceback",
        "look for the first traceback in the log, or run the job under hvdsm, which reports it",
    ),
)
