"""Callbacks of ctypes, weak references, caches, coroutines, threads, generators, objects in cycles."""
import asyncio, threading, ctypes, weakref, functools, decimal, json
CB=ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
libc=ctypes.CDLL(None)
def cmp(a,b): return a[0]-b[0]
arr=(ctypes.c_int*5)(5,1,4,2,3)
libc.qsort(arr,5,4,CB(cmp))
assert list(arr)==[1,2,3,4,5]
class Node:
    def __init__(s,n): s.n=n; s.me=s
nodes=[Node(i) for i in range(1000)]
wd=weakref.WeakValueDictionary((i,n) for i,n in enumerate(nodes))
@functools.lru_cache(maxsize=100)
def f(x): return [x]*3
for i in range(500): f(i)
async def co(i):
    await asyncio.sleep(0.001); return i
async def main():
    return await asyncio.gather(*[co(i) for i in range(50)])
asyncio.run(main())
def t(): 
    for i in range(1000): json.loads(json.dumps({'a':[i]*10}))
ts=[threading.Thread(target=t) for _ in range(4)]
[x.start() for x in ts]; [x.join() for x in ts]
decimal.getcontext().prec=200
x=decimal.Decimal(1)/decimal.Decimal(7)
def gen():
    for i in range(10): yield i
g=gen(); next(g)
keep={i:str(i) for i in range(10000)}
