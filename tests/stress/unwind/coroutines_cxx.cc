// SPDX-License-Identifier: MIT
//
// C++20 coroutines: a function that is suspended in one stack and resumed in another, generators in generators, and
// coroutines that hand over to each other by jumps.
#include "stress.h"

#include <coroutine>
#include <exception>
#include <utility>

namespace
{

// A generator of numbers.
class numbers
{
  public:
    struct promise_type {
        int current = 0;
        std::exception_ptr failure;

        numbers get_return_object()
        {
            capture_some();
            return numbers(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() noexcept
        {
            return {};
        }
        std::suspend_always final_suspend() noexcept
        {
            capture_some();
            return {};
        }
        std::suspend_always yield_value(int value)
        {
            current = value;
            capture();
            return {};
        }
        void return_void()
        {
        }
        void unhandled_exception()
        {
            capture();
            failure = std::current_exception();
        }
    };

    explicit numbers(std::coroutine_handle<promise_type> h) : handle(h)
    {
    }
    numbers(numbers &&other) : handle(std::exchange(other.handle, {}))
    {
    }
    ~numbers()
    {
        if (handle)
            handle.destroy();
    }
    bool next()
    {
        handle.resume();
        if (handle.promise().failure)
            std::rethrow_exception(handle.promise().failure);
        return !handle.done();
    }
    int value() const
    {
        return handle.promise().current;
    }

  private:
    std::coroutine_handle<promise_type> handle;
};

numbers count(int from, int to)
{
    for (int i = from; i < to; i++) {
        capture_some();
        co_yield i;
    }
    if (from > 90)
        throw to;
}

numbers nested(int depth)
{
    numbers inner = depth > 0 ? nested(depth - 1) : count(int(chance(100)), 105);
    for (int i = 0; i < 3 && inner.next(); i++) {
        sink = calls_plain(2, inner.value());
        co_yield inner.value();
    }
}

noinline void resume_at(numbers &sequence, int depth)
{
    if (depth > 0) {
        resume_at(sequence, depth - 1);
        KEEP_FRAME();
        return;
    }
    capture_some();
    sequence.next();
    capture_some();
}

// A task that awaits another one: both ends are jumps to the other's handle.
struct task {
    struct promise_type {
        std::coroutine_handle<> waiting = std::noop_coroutine();

        task get_return_object()
        {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() noexcept
        {
            return {};
        }
        struct hand_over {
            bool await_ready() noexcept
            {
                return false;
            }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done) noexcept
            {
                capture();
                return done.promise().waiting;
            }
            void await_resume() noexcept
            {
            }
        };
        hand_over final_suspend() noexcept
        {
            return {};
        }
        void return_void()
        {
        }
        void unhandled_exception()
        {
            std::terminate();
        }
    };

    bool await_ready()
    {
        return false;
    }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller)
    {
        handle.promise().waiting = caller;
        capture_some();
        return handle;
    }
    void await_resume()
    {
        handle.destroy();
        capture_some();
    }

    std::coroutine_handle<promise_type> handle;
};

task work(int depth)
{
    capture();
    if (depth > 0)
        co_await work(depth - 1);
    sink = calls_plain(1, depth);
    if (depth > 2)
        co_await work(depth / 2);
}

} // namespace

void test_coroutines_cxx()
{
    for (unsigned i = 0; i < rounds * 4; i++) {
        try {
            numbers sequence = nested(int(chance(5)));
            for (int n = 0; n < 4; n++)
                resume_at(sequence, int(chance(10)));
        } catch (int) {
            capture();
        }
        task whole = work(int(chance(6)));
        whole.handle.resume();
        whole.handle.destroy();
    }
}
