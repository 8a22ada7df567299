/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/timex.h>
#include <unistd.h>

#include "basic/clock.h"
#include "test.h"

static int kernel_status;
static int kernel_error;

int adjtimex(struct timex *t)
{
    if (t->modes != 0)
        abort();
    if (kernel_error) {
        errno = kernel_error;
        return -1;
    }
    t->status = kernel_status;
    return kernel_status & STA_UNSYNC ? TIME_ERROR : TIME_OK;
}

/* The kernel's answer counts more than the file, which is older if the clock was set by hand
 * later. */
TEST(kernel)
{
    kernel_status = STA_PLL;
    ASSERT_TRUE(clock_is_synchronized("/nonexistent"));
    kernel_status = STA_UNSYNC;
    ASSERT_TRUE(!clock_is_synchronized("/nonexistent") && !clock_is_synchronized("/"));
}

/* The file decides if ProtectClock= keeps us from asking the kernel. */
TEST(file)
{
    kernel_error = EPERM;
    ASSERT_TRUE(!clock_is_synchronized("/nonexistent") && clock_is_synchronized("/"));
    kernel_error = 0;
}
