// SPDX-License-Identifier: MIT
//
// Loses blocks of operator new and new[] in all their forms, each in a function of its own, and deletes as many.
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#define VISIBLE __attribute__((noinline, noclone))

struct alignas(128) wide {
    char bytes[128];
};

template <class T> static T *use(T *block)
{
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

VISIBLE static void lose_new()
{
    for (int i = 0; i < 5; i++)
        use(static_cast<char *>(::operator new(40)));
}

VISIBLE static void lose_new_array()
{
    for (int i = 0; i < 6; i++)
        use(new char[70]);
}

VISIBLE static void lose_new_nothrow()
{
    for (int i = 0; i < 7; i++)
        use(static_cast<char *>(::operator new(50, std::nothrow)));
}

VISIBLE static void lose_new_aligned()
{
    for (int i = 0; i < 8; i++)
        use(new wide);
}

VISIBLE static void lose_new_array_aligned()
{
    for (int i = 0; i < 9; i++)
        use(new wide[2]);
}

VISIBLE static int catch_bad_alloc()
{
    try {
        use(static_cast<char *>(::operator new(static_cast<size_t>(-1) / 2 - 100)));
    } catch (const std::bad_alloc &) {
        return use(static_cast<char *>(::operator new(static_cast<size_t>(-1) / 2, std::nothrow))) == nullptr;
    }
    return 0;
}

static int handler_calls;

static void handler()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

int main()
{
    std::setvbuf(stdout, nullptr, _IONBF, 0); // or else its buffer stays to the end
    lose_new();
    lose_new_array();
    lose_new_nothrow();
    lose_new_aligned();
    lose_new_array_aligned();
    for (int i = 1; i < 1000; i++) {
        delete use(new int(i));
        delete[] use(new int[static_cast<size_t>(i)]);
        delete use(new wide);
        delete[] use(new wide[3]);
        ::operator delete(use(static_cast<char *>(::operator new(static_cast<size_t>(i), std::nothrow))), std::nothrow);
        ::operator delete(use(static_cast<char *>(::operator new(64))), static_cast<size_t>(64));
    }
    std::vector<std::string> texts(100, std::string(1000, 'x'));
    std::printf("bad_alloc: %d\n", catch_bad_alloc());
    std::set_new_handler(handler);
    std::printf("with a handler: %d", catch_bad_alloc());
    std::printf(", calls: %d\n", handler_calls);
    return 0;
}
