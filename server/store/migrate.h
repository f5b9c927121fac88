/* The schema's history. migrations/NNNN_what.sql are embedded by make in this table; PRAGMA
 * user_version of a database is the number of the last one applied. Forward only. */
#ifndef VISAVIS_SERVER_STORE_MIGRATE_H
#define VISAVIS_SERVER_STORE_MIGRATE_H

struct migration {
    int version; /* 1, 2, ...; 0 ends the table */
    const char *name, *sql;
};
extern const struct migration store_migrations[];

#endif
