"""Known failures of hvdsm's own words, and of the start of a job: ssh, mpirun, images, requests."""

from __future__ import annotations

# id, title, pattern, cause, remedy; the first match counts.
OWN = (
    (
        "host-missing",
        "did not join within … s",
        r"did not join within \d{1,9} s|did not answer on port \d{1,5} for \d{1,9} s",
        "hosts of the job cannot reach each other, or one of them did not start its container program",
        "let the security group allow all TCP between the hosts of the job, and read the log of the missing host",
    ),
    (
        "host-lost",
        "the host was lost: …",
        r"the (?:host|launcher) was lost(?:: | while the job ran)",
        "a host ended or its network broke while ranks ran: a reclaimed spot instance, a kernel out of memory, a dead link",
        "look at that host's log and memory; resume from checkpoints, on spot capacity with a checkpoint path",
    ),
    (
        "one-host-only",
        "no rank ran on …; all … ran on the other hosts",
        r"no rank ran on [^;\n]{1,2000}; all \d{1,7} ran on the other hosts",
        "the options place all ranks on some of the hosts; the others are paid for and idle",
        "ask for processes per host instead of a total, or leave -np and --host out of the custom options",
    ),
    (
        "hang",
        "hang: no output and no progress from any of … ranks",
        r"\bhang: no output and no progress from any of",
        "ranks wait for each other: one took another branch, ended early or is stopped, so a collective never ends",
        "compare the stacks: the ranks that are behind, or outside of the collective, show where they went another way",
    ),
    (
        "time-limit",
        "the job exceeded its time limit",
        r"the job exceeded its time limit",
        "the job needs longer than its limit allows",
        "raise the limit, or save checkpoints on SIGTERM and resume from them",
    ),
    (
        "wrong-token",
        "it does not know this job's token",
        r"does not know this job's token",
        "hosts of different jobs meet, or the token is set on some hosts only",
        "give every host of the job the same HVDSM_JOB_TOKEN",
    ),
)

START = (
    (
        "mpi-versions-differ",
        "Open MPI differs between the hosts",
        r"Open MPI differs between the hosts|mpirun starts it here|detected a mismatch in versions between two processes"
        r"|Data unpack (?:would read past|had inadequate)"
        r"|PMIX_ERR_UNPACK|UNPACK-(?:PAST-END|INADEQUATE-SPACE|FAILURE)",
        "hosts run different versions of Open MPI or PMIx, which do not understand each other",
        "use one image for all hosts, or install the same Open MPI at the same path",
    ),
    (
        "daemon-not-found",
        "orted: command not found",
        r"(?:orted|prted): (?:command )?not found|/(?:orted|prted): No such file",
        "Open MPI is not at the same path on every host, so its daemon is not found there",
        "install it at one path in all images, or give --prefix in the custom MPI options",
    ),
    (
        "host-key",
        "Host key verification failed",
        r"Host key verification failed",
        "ssh does not know the other host's key: a configuration of the image's own is in the way",
        "let hvdsm make the keys of the job: leave plm_rsh_agent out of the custom options, and ssh files out of the image",
    ),
    (
        "publickey",
        "Permission denied (publickey)",
        r"Permission denied \(publickey",
        "sshd on the other host refuses the key: another sshd answers, or its files can be written by others",
        "leave ssh to hvdsm, which has a port and keys of its own; do not start another mpirun from the script",
    ),
    (
        "ssh-unreachable",
        "ssh: connect to host … port …: …",
        r"ssh: connect to host \S{1,255} port \d{1,5}: \w",
        "the port of ssh is closed between the hosts",
        "let the security group allow all TCP between the hosts of the job, in both directions",
    ),
    (
        "cannot-connect-algo",
        "Cannot connect to host algo-1",
        r"Cannot connect to host algo-\d",
        "the SageMaker toolkit in this image cannot ssh to the first host: most often a broken configuration of ssh",
        "start the job with hvdsm's train, which needs no ssh configuration; or write `Host *` and its options on separate lines",
    ),
    (
        "name-unknown",
        "Could not resolve hostname",
        r"Could not resolve hostname|Name or service not known|Temporary failure in name resolution",
        "a host's name is not known: DNS comes late, or the script asks for a name outside of a private network",
        "let hvdsm start the ranks (it waits for names); for names outside the VPC use an endpoint or a channel",
    ),
    (
        "slots",
        "There are not enough slots available",
        r"not enough slots available",
        "more ranks are asked for than the hosts have slots",
        "ask for processes per host; with a hostfile of your own give slots=N to each host",
    ),
    (
        "run-as-root",
        "mpirun has detected an attempt to run as root",
        r"(?:mpirun|prterun|orterun) has detected an attempt to run as root",
        "a script calls mpirun by itself, as root",
        "let hvdsm call mpirun (distribution mpi), or add --allow-run-as-root to your own call",
    ),
    (
        "unknown-option",
        "mpirun: unknown option",
        r"(?:mpirun|orterun|prterun): (?:Error: )?(?:unknown|unrecognized) option"
        r"|unrecognized option was included on the (?:mpirun|orterun|prterun)",
        "mpirun does not know one of the custom MPI options; Open MPI 5 dropped some of 4.1's",
        "see `mpirun --help all` of that version; --dry-run shows the whole command",
    ),
    (
        "working-directory",
        "could not change to the specified working directory",
        r"could not\s{1,3}(?:change to|find|access)\s{1,3}the specified working directory",
        "the directory that mpirun shall start ranks in is not on every host",
        "leave -wdir out of the custom MPI options, or name a directory that all images have",
    ),
    (
        "program-not-found",
        "mpirun was unable to find the specified executable file",
        r"was unable to find the specified executable|could not\s{1,3}access\s{1,3}(?:or execute )?an executable",
        "the program or Python that mpirun shall start is not at this path on every host",
        "use the same image on all hosts; name the entry point relative to the source",
    ),
    (
        "interface-missing",
        "None of the TCP networks specified to be included … could be found",
        r"None of the TCP networks specified to be included"
        r"|none of the interfaces specified|specified for MCA parameter btl_tcp_if_",
        "the network interface that Open MPI is held to does not exist on a host",
        "name an existing one in the custom options: -mca btl_tcp_if_include IF -mca oob_tcp_if_include IF",
    ),
    (
        "ranks-cannot-reach",
        "At least one pair of MPI processes are unable to reach each other",
        r"unable to reach each other|BTLs attempted:",
        "ranks of different hosts find no common network: blocked ports, or hosts taken for one by their names",
        "let the security group allow all TCP between the hosts; leave btl and interface options to hvdsm",
    ),
    (
        "train-not-found",
        "exec train failed: No such file or directory",
        r"exec train failed|exec: \"train\": executable file not found",
        "the image has no program named train on its PATH",
        "install hvdsm in the image and link hvdsm-train as train, or start the bundle by ContainerEntrypoint",
    ),
    (
        "entry-point-missing",
        "the entry point … is not in the source",
        r"the entry point .{1,300} is not in the source|can't open file '.{0,300}': \[Errno 2\]",
        "the script is not in the source that was sent, or has another path there",
        "name it relative to the source directory, for example src/train.py",
    ),
    (
        "requirement-missing",
        "No matching distribution found for …",
        r"No matching distribution found for|Could not find a version that satisfies the requirement",
        "a package of requirements.txt is not on the package index for this Python, or the index cannot be reached",
        "check name, version and Python; in a private network give PIP_INDEX_URL or CA_REPOSITORY_ARN",
    ),
    (
        "parameter-too-long",
        "Member must have length less than or equal to 2500",
        r"length less than or equal to 2500",
        "a hyperparameter's value is longer than the service takes",
        "put long values into a file of a channel",
    ),
    (
        "job-name-too-long",
        "Member must have length less than or equal to 63",
        r"length less than or equal to 63",
        "the name of the training job is longer than the service takes",
        "shorten the base name",
    ),
    (
        "quoted-parameter",
        'Hyperparameter objective: "reg:squarederror" is not in',
        r"Hyperparameter [\w.-]{1,256}: \"[^\"\n]{0,2500}\" is not in",
        "the SDK sends values as JSON, and a built-in algorithm reads them as they are, quotes included",
        "send plain strings to built-in algorithms: an Estimator without entry_point",
    ),
    (
        "modeltrainer-source",
        "cannot access local variable 'execute_driver'",
        r"local variable 'execute_driver'",
        "SourceCode of the SageMaker SDK 3 got entry_point, which it ignores",
        "name the script by entry_script",
    ),
    (
        "preload",
        "object '…' from LD_PRELOAD cannot be preloaded",
        r"object '[^'\n]{0,300}' from LD_PRELOAD cannot be preloaded",
        "LD_PRELOAD names a library that is not in the image, most often a host name shim",
        "remove it from LD_PRELOAD: hvdsm needs no shim",
    ),
    (
        "exec-format",
        "Exec format error",
        r"Exec format error",
        "the program is built for another processor, or a script lacks its first line #!",
        "build for the instance's architecture; begin scripts with #!/bin/sh",
    ),
    (
        "glibc",
        "version GLIBC_… not found",
        r"version `?(?:GLIBC|GLIBCXX|CXXABI)_[\d.]{1,20}'? not found",
        "a library was built on a newer system than the image",
        "build or install it inside the image that runs it",
    ),
)
