// A native worker, as quick as one can be: finds the id and the data by their places in the line that
// forkpool writes, sleeps for `ms` if the job begins with it, and echoes the data. Each answer is written
// before the next job is begun. With an argument it handles that one job and ends (a process per job).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void pause_ms(double ms) {
    struct timespec left = {(time_t)(ms / 1000), (long)(ms * 1e6) % 1000000000L};
    while (nanosleep(&left, &left)) {}
}

static void handle(const char *job) {
    if (!strncmp(job, "{\"ms\":", 6)) pause_ms(atof(job + 6));
}

static void write_all(const char *bytes, size_t size) {
    while (size) {
        ssize_t written = write(1, bytes, size);
        if (written < 0) exit(1);
        bytes += written, size -= (size_t)written;
    }
}

int main(int argc, char **argv) {
    if (getenv("BENCH_IMPORT_MS")) pause_ms(atof(getenv("BENCH_IMPORT_MS")));
    if (argc > 1) {
        handle(argv[1]);
        return puts(argv[1]) < 0;
    }
    static char piece[1 << 16]; // by itself stdio reads 4 KiB at a time
    setvbuf(stdin, piece, _IOFBF, sizeof piece);
    static const char status[] = ",\"status\":\"ok\"";
    char *line = NULL, *reply = NULL;
    size_t size = 0, room = 0;
    for (ssize_t length; (length = getline(&line, &size, stdin)) > 0;) {
        char *data = memchr(line, ',', (size_t)length); // {"id":1,"data":…}
        if (!data) return 1;
        handle(data + 8);
        size_t head = (size_t)(data - line), all = (size_t)length + sizeof status - 1;
        if (all > room) reply = realloc(reply, room = 2 * all);
        memcpy(reply, line, head);
        memcpy(reply + head, status, sizeof status - 1);
        memcpy(reply + head + sizeof status - 1, data, (size_t)length - head);
        write_all(reply, all);
    }
    return 0;
}
