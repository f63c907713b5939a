/* SPDX-License-Identifier: MIT */
#include "pool_file.h"

#include "compiler.h"
#include "memshim/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#define STACKS_BASE ((uint64_t)1 << 20)
#define CHUNKS_BASE 64u
#define CHUNK_BYTES_MEAN 128u /* a manifest for allocations of this size on average */

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

int pool_name_set(struct pool_name *name, const char *text)
{
    *name = (struct pool_name){0};
    if (!text)
        return -EINVAL;
    text += *text == '/';
    size_t length = strnlen(text, POOL_NAME_MAX + 1);
    if (length == 0 || length > POOL_NAME_MAX || memchr(text, '/', length) || strcmp(text, ".") == 0 ||
        strcmp(text, "..") == 0)
        return -EINVAL;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return -EINVAL;
    memcpy(name->name, text, length);
    return 0;
}

static int open_name(const struct pool_name *name, int flags)
{
    char path[POOL_NAME_MAX + 16];

    snprintf(path, sizeof(path), "/%s", name->name);
    int fd = shm_open(path, flags, 0600);
    return fd < 0 ? -errno : fd;
}

static void unlink_name(const struct pool_name *name)
{
    char path[POOL_NAME_MAX + 16];

    snprintf(path, sizeof(path), "/%s", name->name);
    shm_unlink(path);
}

/* ---- processes ---- */

uint64_t pool_process_start(int32_t pid)
{
    char path[40], text[1024];

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    const char *at = strrchr(text, ')'); /* field 2 may hold anything */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

static bool is_zombie(int32_t pid)
{
    char path[40], text[1024];

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (length <= 0)
        return false;
    text[length] = '\0';
    const char *at = strrchr(text, ')');
    return at && at[1] == ' ' && (at[2] == 'Z' || at[2] == 'X');
}

bool pool_process_lives(int32_t pid, uint64_t start)
{
    if (pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH))
        return false;
    uint64_t now = pool_process_start(pid);
    return (!now || !start || now == start) && !is_zombie(pid);
}

/* ---- layout ---- */

static struct pool_header layout(uint64_t size)
{
    struct pool_header header = {.version = POOL_VERSION, .header_size = sizeof(header)};

    header.heap_size = round_up(size, POOL_GRAIN);
    header.chunk_capacity = header.heap_size / CHUNK_BYTES_MEAN + CHUNKS_BASE;
    header.chunks_offset = POOL_HEADER_SIZE;
    header.stacks_offset =
        header.chunks_offset + round_up(header.chunk_capacity * sizeof(struct pool_chunk), POOL_STEP);
    header.stacks_size = round_up(STACKS_BASE + header.heap_size / 64, POOL_STEP);
    header.heap_offset = header.stacks_offset + header.stacks_size;
    header.file_size = header.heap_offset + round_up(header.heap_size, 4096);
    return header;
}

/* Whether the sizes in a header are those that its size of the heap leads to. */
static bool is_layout(const struct pool_header *header)
{
    if (header->heap_size == 0 || header->heap_size > MEMSHIM_POOL_SIZE_MAX || header->heap_size % POOL_GRAIN)
        return false;
    struct pool_header right = layout(header->heap_size);
    return header->chunk_capacity == right.chunk_capacity && header->chunks_offset == right.chunks_offset &&
           header->stacks_offset == right.stacks_offset && header->stacks_size == right.stacks_size &&
           header->heap_offset == right.heap_offset && header->file_size == right.file_size;
}

static void view_set(struct pool_view *view, void *memory, const struct pool_header *header)
{
    uint8_t *bytes = memory;

    view->header = memory;
    view->chunks = (struct pool_chunk *)(void *)(bytes + header->chunks_offset);
    view->stacks = bytes + header->stacks_offset;
    view->heap = bytes + header->heap_offset;
    view->mapped = header->file_size;
    view->chunk_capacity = header->chunk_capacity;
    view->stacks_size = header->stacks_size;
    view->heap_size = header->heap_size;
    view->instance = header->instance;
}

static int note_identity(struct pool_view *view)
{
    struct stat status;

    if (fstat(view->fd, &status) < 0)
        return -errno;
    view->device = status.st_dev;
    view->inode = status.st_ino;
    return 0;
}

static bool is_same_file(const struct pool_view *view, int fd)
{
    struct stat status;
    return fd >= 0 && fstat(fd, &status) == 0 && status.st_dev == view->device && status.st_ino == view->inode;
}

int pool_file_commit(const struct pool_view *view, uint64_t offset, uint64_t size)
{
    int result;

    if (!is_same_file(view, view->fd))
        return -EBADF;
    do
        result = posix_fallocate(view->fd, (off_t)offset, (off_t)size);
    while (result == EINTR);
    return -result;
}

/* ---- making ---- */

static int init_mutex(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    int result = pthread_mutexattr_init(&attributes);

    if (result)
        return -result;
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    result = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (!result)
        result = pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return -result;
}

static uint64_t draw(void)
{
    uint64_t number = 0;

    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
        number = (uint64_t)time(NULL) << 32 ^ (uint64_t)getpid() << 16 ^ (uint64_t)(uintptr_t)&number;
    return number ? number : 1;
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Memory for everything but the parts that grow. */
static int commit_all(const struct pool_view *view, const struct pool_header *header)
{
    if (ftruncate(view->fd, (off_t)header->file_size) < 0)
        return -errno;
    int result = pool_file_commit(view, 0, POOL_HEADER_SIZE);
    if (!result)
        result = pool_file_commit(view, header->heap_offset, header->file_size - header->heap_offset);
    return result;
}

static int make(struct pool_name *name, struct pool_view *view)
{
    struct pool_header header = layout(name->size);
    int result = note_identity(view);

    if (!result)
        result = commit_all(view, &header);

    if (result)
        return result;
    void *memory = mmap(NULL, header.file_size, PROT_READ | PROT_WRITE, MAP_SHARED, view->fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    header.instance = name->instance = draw();
    header.uid = name->uid;
    header.creator = getpid();
    header.creator_start = pool_process_start(header.creator);
    header.created_at = now();
    header.next_id = header.next_serial = 1;
    header.stacks_used = 8; /* 0 stands for none */
    memcpy(header.name, name->name, sizeof(header.name));
    memcpy(memory, &header, sizeof(header));
    view_set(view, memory, &header);
    return init_mutex(&view->header->mutex);
}

int pool_file_create(struct pool_name *name, struct pool_view *ret)
{
    *ret = (struct pool_view){.fd = -1};
    if (name->size == 0 || name->size > MEMSHIM_POOL_SIZE_MAX)
        return -EINVAL;
    name->size = round_up(name->size, POOL_GRAIN);
    ret->fd = open_name(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC);
    if (ret->fd < 0)
        return ret->fd;
    int result = make(name, ret);
    if (result) {
        unlink_name(name);
        pool_file_close(ret);
    }
    return result;
}

/* ---- mapping ---- */

static bool is_whole(const struct pool_header *header, off_t file_size)
{
    return __atomic_load_n(&header->magic, __ATOMIC_ACQUIRE) == POOL_MAGIC && header->version == POOL_VERSION &&
           header->header_size == sizeof(*header) && is_layout(header) && header->instance &&
           (uint64_t)file_size == header->file_size && memchr(header->name, '\0', sizeof(header->name));
}

/* Reads the header by a system call: a file that is too short makes no fault. */
static int map(struct pool_view *view, int protection)
{
    struct pool_header header;
    struct stat status;

    if (fstat(view->fd, &status) < 0)
        return -errno;
    if (pread(view->fd, &header, sizeof(header), 0) != sizeof(header) || !is_whole(&header, status.st_size))
        return -EINVAL;
    void *memory = mmap(NULL, header.file_size, protection, MAP_SHARED, view->fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    view_set(view, memory, &header);
    return note_identity(view);
}

int pool_file_open(const struct pool_name *name, struct pool_view *ret)
{
    *ret = (struct pool_view){.fd = open_name(name, O_RDWR | O_CLOEXEC)};
    if (ret->fd < 0)
        return ret->fd;
    int result = map(ret, PROT_READ | PROT_WRITE);
    if (result == 0 && (ret->instance != name->instance || ret->header->uid != name->uid))
        result = -ESTALE;
    if (result == 0 && ret->heap_size != name->size)
        result = -EINVAL;
    if (result == 0 && ret->header->state != POOL_LIVE)
        result = -EIDRM;
    if (result)
        pool_file_close(ret);
    return result;
}

int pool_file_read(int fd, struct pool_view *ret)
{
    *ret = (struct pool_view){.fd = fd};
    int result = map(ret, PROT_READ);

    ret->fd = -1;
    return result;
}

void pool_file_close(struct pool_view *view)
{
    if (view->header)
        munmap(view->header, view->mapped);
    if (!view->header || is_same_file(view, view->fd))
        close(view->fd);
    *view = (struct pool_view){.fd = -1};
}

void pool_file_unlink(const struct pool_view *view)
{
    struct pool_name name;

    if (pool_name_set(&name, view->header->name))
        return;
    _cleanup_close_ int fd = open_name(&name, O_RDONLY | O_CLOEXEC);
    if (!is_same_file(view, fd))
        return;
    unlink_name(&name);
}
