/* A disk that hangs: fsync and fdatasync wait while the file named by SLOW_FSYNC_WHILE exists, at most 60 s. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int held(const char *name, int fd) {
    const char *flag = getenv("SLOW_FSYNC_WHILE");
    for (int i = 0; flag && i < 600 && access(flag, F_OK) == 0; i++) usleep(100000);
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return next(fd);
}

int fsync(int fd) { return held("fsync", fd); }
int fdatasync(int fd) { return held("fdatasync", fd); }
