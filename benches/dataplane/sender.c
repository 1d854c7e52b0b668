/* Sends a burst of frames of one length and returns the CPU time of the calling thread in ns.
 *
 * Over veth a packet is received, forwarded and received again in the softirq that the sender's own
 * system call runs, so the time of this thread covers the whole path. A negative result is -errno.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <time.h>

static long long cpu_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

long long burst(int socket, const unsigned char *frames, size_t length, size_t count)
{
    long long start = cpu_time();
    for (size_t i = 0; i < count; i++)
        if (send(socket, frames + i * length, length, 0) < 0)
            return -errno;
    return cpu_time() - start;
}
