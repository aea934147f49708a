"""Known failures whose words only say that something broke: another line may say why, and goes before them."""

from __future__ import annotations

# id, title, pattern, cause, remedy; the first match counts.
GENERAL = (
    (
        "killed",
        "died with <Signals.SIGKILL: 9>",
        r"died with <Signals\.SIGKILL|Signal 9 \(SIGKILL\) received by PID|exited\s{1,3}on\s{1,3}signal 9\b"
        r"|line \d{1,7}:\s{1,9}\d{1,9} Killed\b|^Killed$",
        "a process was ended by SIGKILL, often by the kernel's out-of-memory killer",
        "use less memory in each rank, fewer processes per host, or a larger instance",
    ),
    (
        "data-loader",
        "DataLoader worker (pid(s) …) exited unexpectedly",
        r"DataLoader worker \(pid\(s\) [\d, ]{1,200}\) exited unexpectedly",
        "a data loader's worker ended; often for lack of memory or shared memory, which it cannot say",
        "run once with num_workers=0 to see its error; use fewer workers, or more shared memory (--shm-size)",
    ),
    (
        "daemon-connection",
        "A process or daemon was unable to complete a TCP connection",
        r"process or daemon was unable to complete a TCP connection",
        "a daemon of mpirun cannot reach another host's: blocked ports, or an interface that leads elsewhere",
        "let the security group allow all TCP between the hosts; leave oob and interface options to hvdsm",
    ),
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
        "start-overdue",
        "only … of the ranks had started after … s",
        r"only \d{1,7} of the ranks had started after",
        "mpirun runs, but its daemons or the ranks do not come up: blocked connections, or a very slow file system",
        "read mpirun's lines in the launcher's log; raise HVDSM_LAUNCH_TIMEOUT where slowness is expected",
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
        "role-ended",
        "the process … ended with … before the ranks had ended",
        r"the process \S{1,100} (?:ended with|was killed by) .{1,40} before the ranks had ended",
        "a process that runs beside the ranks has ended, and they would wait for it",
        'look at its last lines; it must run until the ranks have ended; one with "end": "wait" may end before with exit code 0',
    ),
    (
        "no-reason",
        "the training program ended with … and did not say why",
        r"the training program ended with .{1,40} and did not say why",
        "the container program itself was killed, or its Python did not start",
        "read the host's log, and look at its memory",
    ),
    (
        "stopped-early",
        "stopped before the launcher was joined",
        r"stopped before the launcher was joined",
        "this host got SIGTERM while it waited for the launcher",
        "look at the launcher's log: it ended early, or the job was stopped",
    ),
    (
        "defect",
        "a defect of hvdsm: …",
        r"a defect of hvdsm: ",
        "the container program failed at something that it should have handled",
        "report it, with the text of output/failure",
    ),
    (
        "collective-timeout",
        "Watchdog caught collective operation timeout",
        r"Watchdog caught collective operation timeout|Timed out waiting \d{1,12}ms for (?:recv|send) operation"
        r"|timed out in monitoredBarrier|failed to pass monitoredBarrier",
        "a collective operation waited for a rank that never came",
        "look for the rank that failed or branched off; raise the timeout of init_process_group only for slow steps",
    ),
    (
        "store-timeout",
        "The client socket has timed out … while trying to connect",
        r"initializing process group in store based barrier"
        r"|DistStoreError|DistNetworkError|client socket has (?:timed out|failed to connect)|seconds waiting for clients",
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
        "mpi-connection",
        "Open MPI failed to TCP connect to a peer MPI process",
        r"failed to TCP connect to a peer MPI process|cannot find a corresponding process\s{1,3}entry for that peer"
        r"|inbound MPI TCP connection request from a peer",
        "ranks cannot connect: blocked ports, an interface such as docker0 on every host, or a rank that is gone",
        "name the network between the hosts by -mca btl_tcp_if_include, as hvdsm does where you do not",
    ),
    (
        "peer-gone",
        "Connection reset by peer",
        r"Connection (?:closed|reset) by (?:remote )?peer|Broken pipe|Socket closed|gloo::IoException|HorovodInternalError"
        r"|MPI_ERR_PROC_FAILED|MPI communication peer process has unexpectedly disconnected",
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
        "mpi-abort",
        "MPI_ABORT was invoked on rank …",
        r"MPI_ABORT was invoked on rank|noticed that process rank \d{1,9} with PID|Primary job {1,3}terminated normally, but"
        r"|detected that one or more processes exited with non-zero status",
        "mpirun only says that a rank failed; the reason is that rank's own traceback or last lines",
        "look above for the first traceback of any rank, or run the job under hvdsm, which reports it",
    ),
    (
        "toolkit-error",
        "ExecuteUserScriptError … ExitCode 1",
        r"ExecuteUserScriptError",
        "the SageMaker toolkit says only that the script failed; the reason is above, in the first traceback",
        "look for the first traceback in the log, or run the job under hvdsm, which reports it",
    ),
)
