// A worker in C: cc -O2 -o pet samples/workers/worker.c && forkpool -i samples/names.csv -- ./pet
// It does not parse JSON: the name must be the first field and have no backslash in it (use a JSON library for more).
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    FILE *out = fdopen(dup(1), "w");
    dup2(2, 1); // stray output to stderr
    setvbuf(out, NULL, _IOLBF, 0); // each line is written at once
    fputs("{\"status\":\"ready\"}\n", out); // optional: says that all is loaded
    char *line = NULL, name[256], quote;
    size_t size = 0;
    unsigned long id;
    while (getline(&line, &size, stdin) > 0) {
        char *data = strstr(line, "\"data\":");
        if (!data || sscanf(line, "{\"id\":%lu", &id) != 1) continue; // a blank line; forkpool writes the id first
        if (sscanf(data, "\"data\": { \"name\" : \"%255[^\"\\]%c", name, &quote) != 2 || quote != '"')
            fprintf(out, "{\"id\":%lu,\"status\":\"error\",\"error\":{\"name\":\"BadName\",\"message\":\"no plain name in the first field\"}}\n", id);
        else if (name[strlen(name) - 1] == 'x')
            fprintf(out, "{\"id\":%lu,\"status\":\"error\",\"error\":{\"name\":\"KittenBites\",\"message\":\"%s bites\"}}\n", id, name);
        else
            fprintf(out, "{\"id\":%lu,\"status\":\"ok\",\"data\":{\"name\":\"%s\",\"petted\":true}}\n", id, name);
    }
    free(line);
    return 0;
}
