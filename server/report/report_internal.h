/* What the files of server/report share. */
#ifndef VISAVIS_SERVER_REPORT_INTERNAL_H
#define VISAVIS_SERVER_REPORT_INTERNAL_H

#include "server/report/report.h"

/* v to so many steps a unit, without a negative zero; null where it is not finite. */
json_t *report__number(double v, double steps);
/* null for NULL. A byte that is not UTF-8 (file names may be anything) becomes U+FFFD. */
json_t *report__text(const char *s);
/* The name (or else the truth) of more than half of those members that have one; NULL: none has
 * so many. Borrowed from faces. */
const char *report__label(const uint32_t *members, size_t n, const struct report_face *faces);

#endif
