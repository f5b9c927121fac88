/* Logging: one JSON object a line on standard error, each written with one write(2). Fields: ts
 * (RFC 3339, UTC, milliseconds), level, msg, then what the caller adds. Never embeddings, images or
 * names. */
#ifndef VISAVIS_ENGINE_BASE_LOG_H
#define VISAVIS_ENGINE_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level least);

/* fields: printf format that gives the rest of the object, e.g. "\"port\":%d,\"route\":\"%s\"", or
 * "" for none. Strings in it must be escaped by the caller (log_escape) unless they are constants.
 */
void log_line(enum log_level level, const char *msg, const char *fields, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes s as the inside of a JSON string into out (size bytes, always terminated, cut when it does
 * not fit). Returns out. */
char *log_escape(char *out, unsigned long size, const char *s);

#endif
