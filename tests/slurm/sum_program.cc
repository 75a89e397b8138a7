// The smallest MPI program that proves a launch: an all-reduce of 8 bytes over all ranks. Rank 0
// says the sum and leaves with 0 only if it is right.
#include <mpi.h>

#include <cstdio>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0, size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const long long mine = rank;
  long long sum = 0;
  MPI_Allreduce(&mine, &sum, 1, MPI_LONG_LONG, MPI_SUM, MPI_COMM_WORLD);
  const bool good = sum == static_cast<long long>(size) * (size - 1) / 2;
  if (rank == 0) std::printf("%d ranks, sum %lld\n", size, sum);
  MPI_Finalize();
  return good ? 0 : 1;
}
