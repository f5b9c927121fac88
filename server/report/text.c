/* Names and numbers as JSON. */
#include "server/report/report_internal.h"

#include <math.h>
#include <string.h>

static const char REPLACEMENT[] = "\xef\xbf\xbd"; /* U+FFFD */

json_t *report__number(double v, double steps)
{
    const double r = round(v * steps) / steps;
    if (!isfinite(r)) return json_null();
    return json_real(r == 0 ? 0 : r);
}

/* Bytes of the character at s (RFC 3629: shortest form, no surrogates, to U+10FFFF); 0: it is none.
 */
static size_t utf8_length(const unsigned char *s)
{
    static const struct {
        unsigned char from, to, second_from, second_to;
        size_t length;
    } forms[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        if (*s < forms[f].from || *s > forms[f].to) continue;
        if (forms[f].length > 1 && (s[1] < forms[f].second_from || s[1] > forms[f].second_to))
            return 0;
        for (size_t i = 2; i < forms[f].length; i++) {
            if ((s[i] & 0xc0) != 0x80) return 0;
        }
        return forms[f].length;
    }
    return 0;
}

json_t *report__text(const char *s)
{
    if (!s) return json_null();
    const size_t len = strlen(s);
    AUTO_BUF struct buf out = BUF_INIT(3 * len + 1);

    for (size_t i = 0; i < len;) {
        const size_t n = utf8_length((const unsigned char *)s + i);
        if (buf_add(&out, n ? s + i : REPLACEMENT, n ? n : sizeof REPLACEMENT - 1, NULL))
            return NULL;
        i += n ? n : 1;
    }
    return json_stringn(len ? (const char *)out.data : "", out.len);
}

static const char *known_as(const struct report_face *f)
{
    return f->name ? f->name : f->truth;
}

/* The majority vote of Boyer and Moore (1981), then a count. */
const char *report__label(const uint32_t *members, size_t n, const struct report_face *faces)
{
    const char *label = NULL;
    size_t lead = 0, known = 0, votes = 0;

    for (size_t i = 0; i < n; i++) {
        const char *s = known_as(faces + members[i]);
        if (!s) continue;
        known++;
        if (!lead) label = s;
        lead += label && !strcmp(s, label) ? 1 : (size_t)-1;
    }
    for (size_t i = 0; i < n && label; i++) {
        const char *s = known_as(faces + members[i]);
        votes += s && !strcmp(s, label);
    }
    return 2 * votes > known ? label : NULL;
}
