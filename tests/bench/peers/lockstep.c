// The least a pool can be: lockstep WORKERS PROGRAM [ARGS] < jobs > records. One job in flight per worker,
// the next one as soon as it has answered, records in order, all jobs and results in memory. It knows no
// errors: whatever goes wrong ends it or hangs it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct worker {
    int in, out;
    size_t job, used, room;
    char *reply;
};

static struct worker *start(int count, char **argv) {
    struct worker *workers = calloc((size_t)count, sizeof *workers);
    for (int i = 0; i < count; i++) {
        int in[2], out[2];
        if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) exit(1);
        if (!fork()) {
            dup2(in[0], 0), dup2(out[1], 1);
            execvp(argv[0], argv);
            _exit(127);
        }
        close(in[0]), close(out[1]);
        workers[i] = (struct worker){.in = in[1], .out = out[0]};
    }
    return workers;
}

static char *line;
static size_t line_room, given;

/// Gives the worker the next job, or closes its stdin when there is none.
static int give(struct worker *worker) {
    ssize_t length = getline(&line, &line_room, stdin);
    if (length <= 0) return close(worker->in), 0;
    char *message = NULL;
    worker->job = ++given;
    int size = asprintf(&message, "{\"id\":%zu,\"data\":%.*s}\n", given, (int)length - 1, line);
    for (int at = 0; at < size;) at += (int)write(worker->in, message + at, (size_t)(size - at));
    free(message);
    return 1;
}

/// Reads what is there; returns the answer's data once its line is whole.
static char *answer(struct worker *worker) {
    if (worker->room - worker->used < 1 << 16) worker->reply = realloc(worker->reply, worker->room += 1 << 16);
    ssize_t got = read(worker->out, worker->reply + worker->used, worker->room - worker->used);
    if (got <= 0) exit(1);
    worker->used += (size_t)got;
    if (worker->reply[worker->used - 1] != '\n') return NULL;
    worker->reply[worker->used - 2] = 0; // the closing brace
    worker->used = 0;
    return strdup(strstr(worker->reply, "\"data\":") + 7);
}

int main(int argc, char **argv) {
    int count = argc > 2 ? atoi(argv[1]) : 0, busy = 0;
    if (count < 1) return 2;
    struct worker *workers = start(count, argv + 2);
    struct pollfd *fds = calloc((size_t)count, sizeof *fds);
    char **results = NULL;
    size_t room = 0, next = 1;
    for (int i = 0; i < count; i++) {
        int has = give(&workers[i]);
        fds[i] = (struct pollfd){.fd = has ? workers[i].out : -1, .events = POLLIN};
        busy += has;
    }
    while (busy && poll(fds, (nfds_t)count, -1) > 0) {
        for (int i = 0; i < count; i++) {
            char *data = fds[i].revents ? answer(&workers[i]) : NULL;
            if (!data) continue;
            if (given >= room) {
                results = realloc(results, 2 * (given + 1) * sizeof *results);
                memset(results + room, 0, (2 * (given + 1) - room) * sizeof *results);
                room = 2 * (given + 1);
            }
            results[workers[i].job] = data;
            for (; next <= given && results[next]; free(results[next++]))
                printf("{\"job\":%zu,\"status\":\"ok\",\"data\":%s}\n", next, results[next]);
            if (!give(&workers[i])) fds[i].fd = -1, busy--;
        }
    }
    return 0;
}
