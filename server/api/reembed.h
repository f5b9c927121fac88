/* The job that moves a collection to another model; its route is in reembed.c too. */
#ifndef VISAVIS_SERVER_API_REEMBED_H
#define VISAVIS_SERVER_API_REEMBED_H

#include "server/jobs/jobs.h"

/* struct job_kind.run, with the app as self. Restartable: nothing changes before the one
 * transaction at its end. ERR_CONFLICT: an example without a photograph; ERR_NO_FACE: one whose
 * face is not found again; ERR_BUSY: more came than could be done. */
NODISCARD enum err reembed_run(struct job *job, void *self, struct err_info *err);

#endif
