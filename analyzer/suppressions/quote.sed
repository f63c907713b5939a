# Makes each line a C string that ends in a newline.
s/[\\"]/\\&/g
s/^/"/
s/$/\\n"/
