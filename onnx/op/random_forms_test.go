package op

import (
	"strconv"
	"strings"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// forms is what inputs of operators look like that random ones hardly ever fit:
// for each input its sizes in brackets, or - if it is absent; behind |, some
// attributes. A letter is one random size throughout, 2A+1 what it says. After
// the sizes, =1,A are the elements, and <A says that integers are below it.
var forms = map[string][]string{
	"MelWeightMatrix":           {"[]=3 []=16 []=8000 []=0 []=2000"},
	"NegativeLogLikelihoodLoss": {"[N,C] [N]<C [C]", "[N,C,D,E] [N,D,E]<C [C]"},
	"SoftmaxCrossEntropyLoss":   {"[N,C] [N]<C [C]", "[N,C,D,E] [N,D,E]<C [C]"},
	"TfIdfVectorizer":           {"[N] | max_gram_length=1 max_skip_count=0 min_gram_length=1 mode=TF ngram_counts=[0] ngram_indexes=[0,1] pool_int64s=[1,2] pool_strings=[a,b] weights=[1,2]"},
	"AffineGrid":                {"[N,2,3] [4]=N,C,H,W", "[N,3,4] [5]=N,C,H,W,D"},
	"Attention": {"[B,H,L,D] [B,H,S,D] [B,H,S,V] [L,S] | softmax_precision=1", "[B,2H,L,D] [B,H,S,D] [B,H,S,V] - [B,H,P,D] [B,H,P,V]",
		"[B,L,2D] [B,S,2D] [B,S,2V] | q_num_heads=2 kv_num_heads=2 softmax_precision=1"},
	"BatchNormalization":  {"[N,C,H] [C] [C] [C] [C]", "[N,C] [C] [C] [C] [C]"},
	"CausalConvWithState": {"[B,C,L] [C,1,K] [C] [B,C,K-1]"},
	"Col2Im":              {"[N,4C,9] [2]=4,4 [2]=2,2", "[N,4C,6] [2]=3,4 [2]=2,2"},
	"DeformConv":          {"[N,C,4,4] [M,C,2,2] [N,8,3,3] [M] [N,4,3,3] | dilations=[1,1] group=1 kernel_shape=[2,2] offset_group=1 pads=[0,0,0,0] strides=[1,1]"},
	"LSTM": {"[S,B,I] [1,4H,I] [1,4H,H] [1,8H] [B]<S [1,B,H] [1,B,H] [1,3H] | hidden_size=H direction=reverse layout=0 activations=[tanh,relu,elu]",
		"[S,B,I] [2,4H,I] [2,4H,H] [2,8H] | hidden_size=H direction=bidirectional layout=0 activations=[tanh,relu,elu,relu,tanh,sigmoid]"},
	"GRU": {"[S,B,I] [1,3H,I] [1,3H,H] [1,6H] [B]<S [1,B,H] | hidden_size=H direction=forward layout=0 activations=[tanh,relu]"},
	"RNN": {"[S,B,I] [1,H,I] [1,H,H] [1,2H] [B]<S [1,B,H] | hidden_size=H direction=forward layout=0 activations=[tanh]",
		"[B,S,I] [1,H,I] [1,H,H] [1,2H] - [B,1,H] | hidden_size=H direction=forward layout=1 activations=[tanh]"},
	"LinearAttention":                   {"[B,S,2D] [B,S,2D] [B,S,2V] - [B,S,2] [B,S,2] | q_num_heads=2 kv_num_heads=2 update_rule=gated_delta"},
	"MaxRoiPool":                        {"[N,C,4,4] [R,5]<N | pooled_shape=[2,2]"},
	"RoiAlign":                          {"[N,C,4,4] [R,4] [R]<N | mode=avg output_height=2 output_width=3"},
	"RotaryEmbedding":                   {"[B,H,S,2D] [M,D] [M,D] [B,S]<M | rotary_embedding_dim=0", "[B,S,4D] [B,S,D] [B,S,D] | num_heads=2 rotary_embedding_dim=0"},
	"ConvInteger":                       {"[N,C,4,3] [M,C,2,2] [] [M] | group=1"},
	"QLinearConv":                       {"[N,C,4,3] [] [] [M,C,2,2] [M] [M] [] [] [M] | group=1"},
	"QLinearMatMul":                     {"[A,K] [] [] [K,B] [] [] [] []", "[B,A,K] [] [] [K,C] [C] [C] [] []"},
	"ai.onnx.ml.CastMap":                {"- | cast_to=TO_FLOAT map_form=DENSE", "- | cast_to=TO_STRING map_form=SPARSE max_map=4"},
	"ai.onnx.ml.DictVectorizer":         {"- | int64_vocabulary=[0,2]", "- | string_vocabulary=[a,c]"},
	"ai.onnx.ml.SVMRegressor":           {"[N,2] | coefficients=[1,2,3] n_supports=3 rho=[1] support_vectors=[1,2,3,4,5,6] kernel_type=LINEAR post_transform=NONE"},
	"ai.onnx.ml.TreeEnsemble":           {"[N,F] | leaf_targetids=[0,1] leaf_weights=[1,2] n_targets=2 nodes_falseleafs=[1] nodes_falsenodeids=[1] nodes_featureids=[0] nodes_modes=uint8[0] nodes_splits=[1] nodes_trueleafs=[1] nodes_truenodeids=[0] tree_roots=[0] aggregate_function=1 post_transform=0"},
	"ai.onnx.ml.TreeEnsembleClassifier": {"[N,F] | " + stump + " class_ids=[0,1] class_nodeids=[1,2] class_treeids=[0,0] class_weights=[1,2] classlabels_int64s=[3,5]"},
	"ai.onnx.ml.TreeEnsembleRegressor":  {"[N,F] | " + stump + " target_ids=[0,1] target_nodeids=[1,2] target_treeids=[0,0] target_weights=[1,2] n_targets=2 aggregate_function=SUM"},
	"ai.onnx.preview.training.Adagrad":  {"[] [] [A,B] [A,B] [A,B]"},
	"ai.onnx.preview.training.Adam":     {"[] [] [A,B] [A,B] [A,B] [A,B]"},
	"ai.onnx.preview.training.Momentum": {"[] [] [A,B] [A,B] [A,B] | mode=standard"},
	"com.microsoft.Attention":           {"[B,S,I] [I,12] [12] [B] | num_heads=2", "[B,S,I] [I,12] [12] - [2,B,2,P,2] | num_heads=2"},
	"com.microsoft.QAttention":          {"[B,S,I] [I,12] [12] [] [] [B] | num_heads=2", "[B,S,I] [I,12] [12] [] [] - [] [] [2,B,2,P,2] | num_heads=2"},
	"com.microsoft.MultiHeadAttention":  {"[B,S,2D] [B,T,2D] [B,T,2V] [4D+2V] [B,T] [1,2,S,T] | num_heads=2", "[B,S,2D] [B,2,T,D] [B,2,T,V] | num_heads=2"},
	"com.microsoft.GroupQueryAttention": {"[B,S,4D] [B,S,2D] [B,S,2D] - - [B]<S []=S | num_heads=4 kv_num_heads=2 do_rotary=0 causal=1 sliding_window_cache=0 k_quant_type=NONE v_quant_type=NONE", "[B,1,8D] - - [B,2,P,D] [B,2,P,D] [B]<P []=P+1 | num_heads=4 kv_num_heads=2 do_rotary=0 causal=1 sliding_window_cache=0 k_quant_type=NONE v_quant_type=NONE"},
	"com.microsoft.DynamicQuantizeLSTM": {"[S,B,I] [1,I,4H] [1,H,4H] [1,8H] [B]<S [1,B,H] [1,B,H] [1,3H] [1] [1] [1] [1] | hidden_size=H direction=forward activations=[tanh,relu,elu]"},
	"com.microsoft.EmbedLayerNormalization": {
		"[B,S]<W [B,S]<W [W,D] [S,D] [W,D] [D] [D] [B,S] [B,S]<S | mask_index_type=0"},
	"com.microsoft.QEmbedLayerNormalization": {
		"[B,S]<W [B,S]<W [W,D] [S,D] [W,D] [D] [D] [B,S] [] [] [] [] [] [] [] [] [] []"},
	"com.microsoft.GatherBlockQuantized":     {"[R,C] [I,J]<R [R,1] [R,1] | bits=8 block_size=16 gather_axis=0 quantize_axis=1", "[R,2C] [I]<R [R,1] | bits=4 block_size=16 gather_axis=0 quantize_axis=-1"},
	"com.microsoft.GridSample":               {"[N,C,H,W] [N,A,B,2] | mode=nearest padding_mode=border", "[N,C,H,W] [N,A,B,2] | mode=bicubic padding_mode=zeros"},
	"com.microsoft.Inverse":                  {"[A,B,B]"},
	"com.microsoft.MatMulBnb4":               {"[A,2K] [N*K] [N*K] | K=2K N=N block_size=2 quant_type=1 transB=1"},
	"com.microsoft.MatMulIntegerToFloat":     {"[A,K] [K,B] [] [B] [] [B] [B]"},
	"com.microsoft.DynamicQuantizeMatMul":    {"[A,K] [K,B] [B] [B] [B]"},
	"com.microsoft.MatMulNBits":              {"[A,8] [N,1,8] [N] [N] - [N] | K=8 N=N bits=8 block_size=8"},
	"com.microsoft.NhwcMaxPool":              {"[N,4,3,C] | kernel_shape=[2,2]"},
	"com.microsoft.QGemm":                    {"[A,K] [] [] [K,B] [] [] [B] [] [] | transA=0 transB=0"},
	"com.microsoft.QLinearAveragePool":       {"[N,C,4,3] [] [] [] [] | kernel_shape=[2,2] channels_last=0", "[N,4,3,C] [] [] [] [] | kernel_shape=[2,2] channels_last=1"},
	"com.microsoft.QLinearConcat":            {"[] [] [A,B] [] [] [A,C] [] [] | axis=1"},
	"com.microsoft.QLinearConv":              {"[N,4,3,C] [] [] [M,C,2,2] [M] [M] [] [] [M] | group=1 channels_last=1"},
	"com.microsoft.QLinearGlobalAveragePool": {"[N,C,H,W] [] [] [] [] | channels_last=0", "[N,H,W,C] [] [] [] [] | channels_last=1"},
	"com.microsoft.RotaryEmbedding":          {"[B,2,S,2D] [B,S]<M [M,D] [M,D] | rotary_embedding_dim=0", "[B,S,4D] []<M [M+3,D] [M+3,D] | num_heads=2 rotary_embedding_dim=0"},
}

// stump is the nodes of a tree of one comparison.
const stump = "nodes_falsenodeids=[2,0,0] nodes_featureids=[0,0,0] nodes_modes=[BRANCH_LEQ,LEAF,LEAF] nodes_nodeids=[0,1,2] " +
	"nodes_treeids=[0,0,0] nodes_truenodeids=[1,0,0] nodes_values=[1,0,0] post_transform=NONE"

// form is one parsed element of forms.
type form struct {
	in    []string
	attrs map[string]string
}

func parseForm(text string) *form {
	in, attrs, _ := strings.Cut(text, "|")
	f := &form{in: strings.Fields(in), attrs: map[string]string{}}
	for _, a := range strings.Fields(attrs) {
		name, value, _ := strings.Cut(a, "=")
		f.attrs[name] = value
	}
	return f
}

// size evaluates a sum of products of numbers and letters.
func (g *generator) size(text string) int {
	text = strings.ReplaceAll(text, "-", "+-")
	total := 0
	for _, term := range strings.Split(text, "+") {
		product := 1
		for term != "" {
			digits := len(term) - len(strings.TrimLeft(term, "-0123456789"))
			switch {
			case digits > 0:
				n, _ := strconv.Atoi(term[:digits])
				product, term = product*n, term[digits:]
			case term[0] == '*':
				term = term[1:]
			default:
				if g.sizes[term[0]] == 0 {
					g.sizes[term[0]] = 1 + g.IntN(3)
				}
				product, term = product*g.sizes[term[0]], term[1:]
			}
		}
		total += product
	}
	return total
}

func (g *generator) sizeList(text string) []int {
	var out []int
	for _, w := range strings.FieldsFunc(strings.Trim(text, "[]"), func(r rune) bool { return r == ',' }) {
		out = append(out, g.size(w))
	}
	return out
}

// formed is the value that the form has in an input slot.
func (g *generator) formed(t graph.Type, slot int) tensor.Value {
	text := g.form.in[slot]
	f := g.form
	if text == "-" { // of maps, whose form is given by their attributes
		g.form = nil
		defer func() { g.form = f }()
		if t.Kind == graph.MapKind {
			return g.value(t, slot)
		}
		return nil
	}
	if t.Kind != graph.TensorKind {
		return nil
	}
	end := strings.IndexByte(text, ']') + 1
	x := g.filled(t.Elem, g.sizeList(text[:end]))
	switch rest := text[end:]; {
	case rest == "":
	case rest[0] == '=':
		v := make([]float64, x.Len())
		for i, n := range g.sizeList(rest[1:]) {
			v[i] = float64(n)
		}
		return tensor.FromFloats(t.Elem, x.Shape, v)
	default:
		v, n := make([]float64, x.Len()), g.size(rest[1:])
		for i := range v {
			v[i] = float64(g.IntN(n))
		}
		return tensor.FromFloats(t.Elem, x.Shape, v)
	}
	return x
}

func (g *generator) formedAttr(a AttrSpec, text string) *graph.Attr {
	words := strings.FieldsFunc(strings.Trim(text, "[]"), func(r rune) bool { return r == ',' })
	out := &graph.Attr{Name: a.Name, Kind: a.Kind}
	switch a.Kind {
	case graph.AttrInt:
		out.I = int64(g.size(text))
	case graph.AttrFloat:
		out.F = float32(g.size(text))
	case graph.AttrString:
		out.S = text
	case graph.AttrStrings:
		out.Strings = words
	case graph.AttrInts:
		for _, n := range g.sizeList(text) {
			out.Ints = append(out.Ints, int64(n))
		}
	case graph.AttrFloats:
		for _, n := range g.sizeList(text) {
			out.Floats = append(out.Floats, float32(n))
		}
	case graph.AttrTensor:
		t := g.types["T"].Elem
		if rest, ok := strings.CutPrefix(text, "uint8"); ok {
			t, text = tensor.Uint8, rest
		}
		list := g.sizeList(text)
		v := make([]float64, len(list))
		for i, n := range list {
			v[i] = float64(n)
		}
		return graph.TensorAttr(a.Name, tensor.FromFloats(t, []int{len(v)}, v))
	}
	return out
}
