/* A report as one page: the files of server/web with the report's JSON in them. Nothing of it comes
 * from elsewhere, and its policy lets nothing go out: scripts and styles are allowed by their
 * digests alone. */
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

#include "server/assets.h"
#include "server/report/report.h"
#include "server/report/view.h"

static const char PAGE[] = "server/web/report.html", STYLE[] = "server/web/report.css";
/* In the order in which they run. */
static const char *const SCRIPTS[] = {
    "server/web/report-data.js",   "server/web/report-plot.js",       "server/web/report-strips.js",
    "server/web/report-curves.js", "server/web/report-dendrogram.js", "server/web/report-page.js",
};
enum { SCRIPTS_MAX_BYTES = 1 << 20 };

/* NULL: the binary was built without it. */
static const struct asset *asset_of(const char *path)
{
    for (const struct asset *a = assets; a->path; a++) {
        if (!strcmp(a->path, path)) return a;
    }
    return NULL;
}

static enum err add_asset(struct buf *out, const char *path, struct err_info *err)
{
    const struct asset *a = asset_of(path);
    if (!a) return err_set(err, ERR_INTERNAL, "%s is not in this binary", path);
    return buf_add(out, a->text, a->len, err);
}

static enum err all_scripts(struct buf *out, struct err_info *err)
{
    for (size_t i = 0; i < sizeof SCRIPTS / sizeof *SCRIPTS; i++)
        TRY(add_asset(out, SCRIPTS[i], err));
    return ERR_OK;
}

/* 'sha256-...' of a Content-Security-Policy (CSP 3, section 2.3.1). */
static enum err digest(struct buf *out, const struct buf *text, struct err_info *err)
{
    struct sha256_ctx ctx;
    uint8_t sum[SHA256_DIGEST_SIZE];

    sha256_init(&ctx);
    sha256_update(&ctx, text->len, text->data);
    sha256_digest(&ctx, sizeof sum, sum);
    TRY(buf_puts(out, "'sha256-", err));
    TRY(buf_add_base64(out, sum, sizeof sum, err));
    return buf_puts(out, "'", err);
}

static enum err policy(struct buf *out, const struct buf *style, const struct buf *script,
                       struct err_info *err)
{
    TRY(buf_puts(out,
                 "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
                 "style-src ",
                 err));
    TRY(digest(out, style, err));
    TRY(buf_puts(out, "; script-src ", err));
    return digest(out, script, err);
}

static enum err title(struct buf *out, const char *s, struct err_info *err)
{
    for (; *s; s++) {
        if (*s == '<')
            TRY(buf_puts(out, "&lt;", err));
        else if (*s == '&')
            TRY(buf_puts(out, "&amp;", err));
        else
            TRY(buf_add(out, s, 1, err));
    }
    return ERR_OK;
}

struct data {
    struct buf *out;
    struct err_info *err;
    enum err rc;
};

/* In a script element nothing ends the text but "</script", and "<!--" changes what does: without a
 * '<' there is neither. JSON has one in strings only. */
static int add_json(const char *bytes, size_t n, void *self)
{
    struct data *d = self;

    for (size_t i = 0; i < n && !d->rc;) {
        const char *less = memchr(bytes + i, '<', n - i);
        const size_t plain = less ? (size_t)(less - bytes) - i : n - i;
        d->rc = buf_add(d->out, bytes + i, plain, d->err);
        if (less && !d->rc) d->rc = buf_puts(d->out, "\\u003c", d->err);
        i += plain + (less ? 1 : 0);
    }
    return d->rc ? -1 : 0;
}

static enum err data(struct buf *out, const json_t *report, struct err_info *err)
{
    struct data d = {out, err, ERR_OK};

    if (!json_dump_callback(report, add_json, &d, REPORT_JSON_DUMP)) return ERR_OK;
    return d.rc ? d.rc : err_set(err, ERR_NOMEM, "no memory to write a report");
}

/* What stands for {{name}} in the page. */
static enum err fill_in(struct buf *out, const char *name, size_t len, const json_t *report,
                        const struct buf *style, const struct buf *script, struct err_info *err)
{
    const char *const heading = json_string_value(json_object_get(report, "title"));

    if (len == 6 && !memcmp(name, "policy", len)) return policy(out, style, script, err);
    if (len == 5 && !memcmp(name, "title", len)) return title(out, heading, err);
    if (len == 5 && !memcmp(name, "style", len)) return buf_add(out, style->data, style->len, err);
    if (len == 4 && !memcmp(name, "data", len)) return data(out, report, err);
    if (len == 6 && !memcmp(name, "script", len))
        return buf_add(out, script->data, script->len, err);
    return err_set(err, ERR_INTERNAL, "%s: nothing stands for %.*s", PAGE, (int)len, name);
}

enum err report_html(struct buf *out, const json_t *report, struct err_info *err)
{
    AUTO_BUF struct buf style = BUF_INIT(SCRIPTS_MAX_BYTES), script = BUF_INIT(SCRIPTS_MAX_BYTES);
    AUTO_VIEW struct view v = {0};
    const struct asset *page = asset_of(PAGE);

    TRY(view_init(&v, report, err)); /* a page of something else would only fail in the browser */
    if (!page) return err_set(err, ERR_INTERNAL, "%s is not in this binary", PAGE);
    TRY(add_asset(&style, STYLE, err));
    TRY(all_scripts(&script, err));
    for (const char *at = page->text;;) {
        const char *open = strstr(at, "{{"), *close = open ? strstr(open, "}}") : NULL;
        if (!close) return buf_puts(out, at, err);
        TRY(buf_add(out, at, (size_t)(open - at), err));
        TRY(fill_in(out, open + 2, (size_t)(close - open) - 2, report, &style, &script, err));
        at = close + 2;
    }
}
