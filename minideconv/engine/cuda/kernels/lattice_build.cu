// The permutohedral lattice around points: which simplex each is in, and a table of all corners.
// ops/permutohedral.py has the mathematics; every number here is the one that it gives, bit by bit.
//
//     embed        points in d dimensions -> in d + 1 coordinates whose sum is 0
//     simplices    the d + 1 corners around each point, as one whole number each, and the weights
//     mark_first   behind the sort (sort.cu): which codes differ from the one in front
//     enter        the running sum of the marks numbers the corners; each writes down its code,
//                  where its entries begin, and its number at each entry's own place
//     mark_pieces  where a corner's entries are cut, after PIECE of them each
//     list_pieces  where each piece begins, and which is the first of each corner
//     find         where the neighbours are in the table, by bisection
//
// A hash table, as in the paper, numbers corners as they come, which on a GPU is another order in
// each run. The sort gives them one order, and the lists of points for splatting beside it.
//
// CORNERS, d + 1, is known to the compiler: a point's coordinates and ranks stay in registers.
//
// compile: REAL=float ACC=float CORNERS=6
// compile: REAL=float ACC=float CORNERS=3
// compile: REAL=float ACC=float CORNERS=2 PIECE=64
#ifndef CORNERS
#define CORNERS 6
#endif
#ifndef PIECE
#define PIECE 64
#endif

#define EACH_CORNER(k, from, to) _Pragma("unroll") for (i32 k = (from); k < (to); ++k)

// a b, rounded. A compiler would join it with a sum behind it and round once, NumPy rounds twice;
// on the border between two simplices that decides.
__device__ __forceinline__ double product(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

extern "C" __global__ void embed(const float* __restrict__ points,
                                 const double* __restrict__ scales, double* __restrict__ y,
                                 i64 count) {
  const i32 d = CORNERS - 1;
  GRID_STRIDE(point, count) {
    double behind = 0;  // the sum of the scaled features from here on
    EACH_CORNER(k, 0, CORNERS) {
      const i32 i = d - k;
      if (i < d) behind += product(points[point * d + i], scales[i]);
      const double own = i > 0 ? product(points[point * d + i - 1], scales[i - 1]) : 0;
      y[point * CORNERS + i] = i < d ? product(-i, own) + behind : product(-i, own);
    }
  }
}

extern "C" __global__ void simplices(const double* __restrict__ y, const i64* __restrict__ low,
                                     const i64* __restrict__ radix, i64* __restrict__ codes,
                                     float* __restrict__ weights, i64 count) {
  const i32 d = CORNERS - 1;
  GRID_STRIDE(point, count) {
    double at[CORNERS], away[CORNERS];  // the point, and from it to the nearest whole one
    i64 base[CORNERS], total = 0;
    i32 rank[CORNERS];
    EACH_CORNER(i, 0, CORNERS) {
      at[i] = y[point * CORNERS + i];
      const double whole = product(rint(at[i] / CORNERS), CORNERS);
      base[i] = (i64)whole;
      total += base[i];
      away[i] = whole - at[i];
    }
    const i32 excess = (i32)(total / CORNERS);  // without remainder
    EACH_CORNER(i, 0, CORNERS) {
      rank[i] = excess;
      EACH_CORNER(j, 0, CORNERS) rank[i] += away[j] < away[i] || (away[j] == away[i] && j < i);
    }
    EACH_CORNER(i, 0, CORNERS) {  // back to the plane
      const i32 turn = (rank[i] < 0) - (rank[i] > d);
      base[i] += turn * CORNERS;
      rank[i] += turn * CORNERS;
      away[i] = (at[i] - (double)base[i]) / CORNERS;
    }
    double before = -1;
    EACH_CORNER(i, 0, CORNERS) if (rank[i] == 0) before = away[i] - 1;
    EACH_CORNER(k, 0, CORNERS) {
      double here = 0;
      EACH_CORNER(i, 0, CORNERS) if (rank[i] == d - k) here = away[i];
      weights[point * CORNERS + k] = (float)(here - before);
      before = here;
      i64 code = 0;
      EACH_CORNER(i, 0, d)
      code += (base[i] + k - (rank[i] > d - k ? CORNERS : 0) - low[i]) * radix[i];
      codes[point * CORNERS + k] = code;
    }
  }
}

extern "C" __global__ void mark_first(const i64* __restrict__ keys, i32* __restrict__ marks,
                                      i64 count) {
  GRID_STRIDE(i, count) marks[i] = i == 0 || keys[i] != keys[i - 1];
}

// `ranks` are the running sums of the marks: one more than the corner's number.
extern "C" __global__ void enter(const i64* __restrict__ keys, const i32* __restrict__ order,
                                 const i32* __restrict__ ranks, i64* __restrict__ found,
                                 i32* __restrict__ starts, i32* __restrict__ numbers, i64 count) {
  GRID_STRIDE(i, count) {
    const i32 number = ranks[i] - 1;
    numbers[order[i]] = number;
    if (i == 0 || ranks[i - 1] != ranks[i]) {
      found[number] = keys[i];
      starts[number] = (i32)i;
    }
  }
}

extern "C" __global__ void mark_pieces(const i32* __restrict__ ranks,
                                       const i32* __restrict__ starts, i32* __restrict__ marks,
                                       i64 count) {
  GRID_STRIDE(i, count) marks[i] = ((i32)i - starts[ranks[i] - 1]) % PIECE == 0;
}

// `cuts` are the running sums of those marks: one more than the piece's number.
extern "C" __global__ void list_pieces(const i32* __restrict__ ranks,
                                       const i32* __restrict__ starts,
                                       const i32* __restrict__ cuts, i32* __restrict__ pieces,
                                       i32* __restrict__ firsts, i64 count) {
  GRID_STRIDE(i, count) {
    if (i > 0 && cuts[i - 1] == cuts[i]) continue;
    pieces[cuts[i] - 1] = (i32)i;
    const i32 number = ranks[i] - 1;
    if (starts[number] == i) firsts[number] = cuts[i] - 1;
  }
}

extern "C" __global__ void find(const i64* __restrict__ codes, const i64* __restrict__ wanted,
                                i32* __restrict__ places, i64 count, i64 wanted_count) {
  GRID_STRIDE(i, wanted_count) {
    i64 low = 0, high = count;  // the first that is not smaller is in low..high
    while (low < high) {
      const i64 middle = (low + high) / 2;
      if (codes[middle] < wanted[i]) low = middle + 1;
      else high = middle;
    }
    places[i] = (i32)(low < count && codes[low] == wanted[i] ? low : count);
  }
}
