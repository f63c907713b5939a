// SPDX-License-Identifier: MIT
//
// C++ exceptions: captures in destructors that run while the stack is being unwound, in handlers, in what is thrown from
// handlers, in exceptions that are carried to another thread, and after all that.
#include "stress.h"

#include <exception>
#include <functional>
#include <pthread.h>
#include <stdexcept>
#include <string>

namespace
{

// Captures when it is destroyed, in most cases by a landing pad.
struct watcher {
    ~watcher()
    {
        capture_some();
    }
};

// Copied into the exception object, and destroyed with it.
struct thrown {
    int value;
    explicit thrown(int v) : value(v)
    {
    }
    thrown(const thrown &other) : value(other.value)
    {
        capture();
    }
    ~thrown()
    {
        capture();
    }
};

noinline void throw_something(int way)
{
    switch (way % 3) {
    case 0:
        throw thrown(way);
    case 1:
        throw std::runtime_error("a text that is not short enough to need no memory");
    default:
        throw way;
    }
}

noinline void descend(int depth, int way);

// Each frame has something to clean up, some of them catch and throw again.
noinline void descend_and_rethrow(int depth, int way)
{
    watcher first;
    try {
        descend(depth - 1, way);
    } catch (const thrown &t) {
        capture_some();
        throw;
    } catch (int number) {
        capture();
        throw thrown(number);
    }
    KEEP_FRAME();
}

noinline void descend_with_room(int depth, int way)
{
    volatile char room[chance(200) + 1];
    std::string text(chance(40), 'x');
    watcher second;
    room[0] = 1;
    descend(depth - 1, way);
    sink = room[0] + double(text.size());
}

// Something is thrown and caught while another exception unwinds the stack.
struct busy_watcher {
    ~busy_watcher()
    {
        try {
            throw_something(int(chance(3)));
        } catch (...) {
            capture();
        }
    }
};

noinline void descend_busily(int depth, int way)
{
    busy_watcher third;
    descend(depth - 1, way);
    KEEP_FRAME();
}

noinline void descend_through_function(int depth, int way)
{
    std::function<void()> function = [=] {
        watcher fourth;
        descend(depth - 1, way);
    };
    function();
    KEEP_FRAME();
}

noinline void descend_nested(int depth, int way)
{
    try {
        descend(depth - 1, way);
    } catch (...) {
        capture_some();
        std::throw_with_nested(thrown(way));
    }
    KEEP_FRAME();
}

noinline void descend(int depth, int way)
{
    capture_some();
    if (depth <= 0)
        throw_something(way);
    switch (chance(6)) {
    case 0:
        descend_and_rethrow(depth, way);
        break;
    case 1:
        descend_with_room(depth, way);
        break;
    case 2:
        descend_busily(depth, way);
        break;
    case 3:
        descend_through_function(depth, way);
        break;
    case 4:
        descend_nested(depth, way);
        break;
    default:
        descend(depth - 1, way);
    }
    KEEP_FRAME();
}

noinline void throw_and_catch(int depth, int way)
{
    try {
        watcher outer;
        descend(depth, way);
    } catch (const thrown &t) {
        capture();
        calls_plain(2, t.value);
    } catch (const std::exception &e) {
        capture_some();
    } catch (...) {
        capture();
    }
    capture();
}

// An exception that ends one thread's function and goes on in another.
std::exception_ptr carried;

void *throw_in_thread(void *)
{
    thread_begin();
    try {
        descend(int(chance(10)), 0);
    } catch (...) {
        capture();
        carried = std::current_exception();
    }
    thread_end(nullptr);
    return nullptr;
}

noinline void carry()
{
    pthread_t thread;
    if (pthread_create(&thread, nullptr, throw_in_thread, nullptr))
        return;
    pthread_join(thread, nullptr);
    try {
        watcher outer;
        std::rethrow_exception(carried);
    } catch (...) {
        capture();
    }
    carried = nullptr;
    capture();
}

} // namespace

void test_exceptions()
{
    for (unsigned i = 0; i < rounds * 20; i++)
        throw_and_catch(int(chance(20)), int(i));
    for (unsigned i = 0; i < rounds * 2; i++)
        carry();
}
