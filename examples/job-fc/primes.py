"""Counts the primes up to UP_TO and writes them to primes.txt."""

import os

up_to = int(os.environ["UP_TO"])
is_prime = bytearray([1]) * (up_to + 1)
is_prime[:2] = b"\0\0"
for number in range(2, int(up_to**0.5) + 1):
    if is_prime[number]:
        is_prime[number * number :: number] = bytes(len(range(number * number, up_to + 1, number)))
primes = [number for number in range(up_to + 1) if is_prime[number]]
with open("primes.txt", "w") as file:
    file.writelines(f"{prime}\n" for prime in primes)
print(f"{len(primes)} primes up to {up_to}, the largest is {primes[-1]}")
