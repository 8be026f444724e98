// mpirun.c - workers as ranks of mpirun, which brings them onto the hosts of its list.
//
// Workers share a directory and exchange no messages, so they need no MPI library: a rank that dies takes nothing but
// the jobs it had, and what has to be agreed on is agreed on by locks (decision 14).
#include "executor/executor_impl.h"

static char *write_mpirun(const lt_worker_script *s)
{
    lti_buf b = {0};
    lti_buf_puts(&b,
                 "#!/bin/sh\n"
                 "# Options of mpirun may follow: sh THIS_FILE --hostfile HOSTS. Every host must see this directory.\n"
                 "# Each rank takes jobs that no other has begun; unfinished ones continue when this is run again.\n");
    lti_script_setting(&b, s);
    lti_buf_printf(&b, "exec mpirun -n %d --bind-to none", s->n_workers);
    for (const char *const *e = s->env; e && e[0]; e += 2)
        lti_buf_printf(&b, " -x %s", e[0]);
    lti_buf_puts(&b, " \"$@\" ");
    lti_script_command(&b, s);
    return lti_buf_take(&b);
}

const lt_executor_kind lti_executor_mpirun = {
    .name = "mpirun",
    .doc = "a script for mpirun: ranks that share the jobs",
    .script = write_mpirun,
};
