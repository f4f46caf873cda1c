package onnx

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// dropEmpty clears empty strings and zero integers that are present, in m and
// below.
func dropEmpty(m proto.Message) {
	r := m.ProtoReflect()
	r.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList() && f.Kind() == protoreflect.MessageKind:
			for i := range v.List().Len() {
				dropEmpty(v.List().Get(i).Message().Interface())
			}
		case f.IsList():
		case f.Kind() == protoreflect.MessageKind:
			dropEmpty(v.Message().Interface())
		case f.Kind() == protoreflect.StringKind && v.String() == "",
			f.Name() == "model_version" && v.Int() == 0:
			r.Clear(f)
		}
		return true
	})
}
