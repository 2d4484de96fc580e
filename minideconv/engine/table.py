"""The table: which algorithm computes which convolution, and why.

Rows are tried from the top; the first whose condition holds is used. "compiled" means that numba is
there. The figures behind each row are in the documentation, page "Which algorithm where".

=================  =========  =====================================  ==============================
algorithm          names      used for                               because
=================  =========  =====================================  ==============================
gemm               exact,     1x1 kernels; kernels as large as the   the patch matrix is the image
                   fast       image (fc6 and its twin)               itself: one product, no copy
winograd, m=4      fast       3x3, stride 1, float32, many channels  2.25 products for each pixel
                              and pixels (`_winograd_pays`)          instead of 9
direct             exact,     float32, compiled                      no patch matrix; sums stay in
                   fast                                              registers
im2col_blocked     exact,     all else that is not grouped           the reference, in blocks that
                   fast                                              stay in the cache
=================  =========  =====================================  ==============================
"""
