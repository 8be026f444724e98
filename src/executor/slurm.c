// slurm.c - workers as tasks of a Slurm array.
//
// Slurm stays the only scheduler: a task of the array is one worker, which takes jobs that no other has. Tasks may
// start late, be killed and be sent again. One minute before its time is over a task is asked for checkpoints; `exec`
// makes the worker the process that Slurm's signal reaches.
#include "executor/executor_impl.h"

static char *write_slurm(const lt_worker_script *s)
{
    lti_buf b = {0};
    lti_buf_puts(&b, "#!/bin/sh\n");
    lti_buf_printf(
        &b,
        "#SBATCH --job-name=%s\n"
        "#SBATCH --array=1-%d\n"
        "#SBATCH --ntasks=1\n"
        "#SBATCH --cpus-per-task=%d\n"
        "#SBATCH --output=%s-%%A_%%a.log\n"
        "#SBATCH --open-mode=append\n"
        "#SBATCH --signal=B:INT@60\n"
        "#SBATCH --requeue\n"
        "# Time, memory and partition are options of sbatch: sbatch --time=4:00:00 THIS_FILE. Each task takes\n"
        "# jobs that no other has begun; an array that ended early continues when it is submitted again.\n",
        s->name, s->n_workers, s->slots, s->log);
    lti_script_setting(&b, s);
    lti_buf_puts(&b, "exec ");
    lti_script_command(&b, s);
    return lti_buf_take(&b);
}

const lt_executor_kind lti_executor_slurm = {
    .name = "slurm",
    .doc = "a script for sbatch: an array of workers that share the jobs",
    .script = write_slurm,
};
