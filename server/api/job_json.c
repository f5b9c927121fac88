#include "server/api/jobs.h"

#include "server/api/time_json.h"

static json_t *result_json(const struct store_job_row *r)
{
    if (!r->result_type[0]) return json_null();
    return json_pack("{s:o, s:s, s:I}", "url", json_sprintf("/v1/jobs/%s/result", r->id.s),
                     "content_type", r->result_type, "bytes", (json_int_t)r->result_bytes);
}

static json_t *error_json(const struct store_job_row *r)
{
    if (!r->error_code[0]) return json_null();
    return json_pack("{s:s, s:o}", "code", r->error_code, "message", reply_text(r->error_message));
}

json_t *job_json(const struct job_view *v)
{
    const struct store_job_row *r = &v->row;
    const bool running = r->state == STORE_JOB_RUNNING;
    return json_pack(
        "{s:s, s:s, s:s, s:b, s:s?, s:I, s:o, s:o, s:i, s:I, s:s?, s:o, s:o, s:o, s:o, s:o, s:o}",
        "id", r->id.s, "kind", r->kind, "state", store_job_state_name(r->state), "cancelling",
        running && r->cancel, "phase", r->phase[0] ? r->phase : NULL, "done", (json_int_t)r->done,
        "total", r->total ? json_integer(r->total) : json_null(), "eta_s",
        v->eta_s >= 0 ? json_real(v->eta_s) : json_null(), "attempts", r->attempts, "uploads",
        (json_int_t)r->uploads, "collection", r->collection_id[0] ? r->collection_id : NULL,
        "created", time_json(r->created_ms), "started", time_json(r->started_ms), "finished",
        time_json(r->finished_ms), "expires", time_json(r->expires_ms), "result", result_json(r),
        "error", error_json(r));
}
