"""Counts primes, says how far it is, and leaves them in a file."""

import os

up_to = int(os.environ["UP_TO"])
primes = []
for number in range(2, up_to):
    if all(number % prime for prime in primes if prime * prime <= number):
        primes.append(number)
    if number % 250 == 0:
        print(f"{len(primes)} primes below {number}")
with open("primes.txt", "w") as out:
    out.write("\n".join(map(str, primes)) + "\n")
print(f"{len(primes)} primes in all, the last is {primes[-1]}")
